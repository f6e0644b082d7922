"""Score a chat model: what the answers of conversations cost it, and what it answers itself."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from luban.data.messages import Conversation, read_conversations
from luban.data.packing import PackedRows
from luban.device import choose_device
from luban.errors import DataError
from luban.evaluate.bleu import Counts
from luban.evaluate.intervals import signature
from luban.evaluate.row_scores import scores_of
from luban.files import Manifest, hash_path
from luban.generate.speaker import Speaker
from luban.log import Log
from luban.models.model import Model
from luban.objectives.vocabulary import hidden_states
from luban.records import IGNORE
from luban.runner import input_key
from luban.stages import Facts
from luban.tasks.chat_answers import answers, open_speaker, spelt
from luban.tasks.chat_rows import Row, named, parted
from luban.tasks.score import keep_scores, plan_of
from luban.tasks.settings import ScoreSettings
from luban.tokenizer.chat import encode_chat

TOKENS_PER_BATCH = 2048
ANSWERED = 40
"""Most rows that the model answers itself, spread evenly: each word of an answer is a pass of the model."""
MAX_NEW_TOKENS = 96


def score(settings: ScoreSettings, model: Path, data: Path, out: Path, log: Log) -> Facts:
    """Score what the assistant says in each conversation, in nats per token, and greedy answers to some."""
    talks, split = rows_to_score(settings, model, data, log)
    with open_speaker(model) as speaker:
        kept, encoded = _encoded(speaker, talks, log)
        speaker.model.to(choose_device())
        rows = _costs(speaker, kept, encoded)
        _add_answers(speaker, kept, rows, log)
    plan = plan_of(settings)
    metrics = scores_of(rows, plan)
    metrics["perplexity"] = _exponential(metrics["loss"])
    facts = {
        "metrics": metrics,
        "counts": {
            "n": len(rows),
            "set_aside": len(talks) - len(rows),
            "targets": sum(int(row["parts"]["loss"][1]) for row in rows),
            "answered": sum("answer" in row for row in rows),
        },
        "signature": signature("loss|per:answer token", len(rows), plan, split, hash_path(data)),
        "parameters": sum(p.numel() for p in speaker.model.parameters()),
        "family": speaker.model.config.family,
        "split": split,
    }
    return keep_scores(facts, rows, model, data, out)


def rows_to_score(
    settings: ScoreSettings, model: Path, data: Path, log: Log
) -> tuple[list[Conversation], str]:
    """Return the conversations of the wanted split, or all of a file that has none.

    Of a file that the model was trained on, those that training held out. {{name}} and {{author}} are
    those that it was trained with.
    """
    found = read_conversations(data)
    if found.rejects:
        first = found.rejects[0]
        log.warn(f"{len(found.rejects)} rows are set aside; line {first['line']}: {first['reason']}")
    manifest = Manifest.read(model)
    made = manifest if manifest is not None and manifest.stage == "chat" else None
    talks, split = found.kept, "all"
    if any(c.split for c in talks):
        talks, split = [c for c in talks if c.split == settings.split], settings.split
    elif made is not None and input_key(data) in [i.get("key") for i in made.inputs.values()]:
        talks, split = parted(talks, float(made.settings["validation"]))["validation"], "validation"
        log.say(f"the model was tuned on this file: the {len(talks)} conversations that were held out count")
    if not talks:
        raise DataError(f"{data} has no rows of the split {settings.split}", fix="choose another --split")
    if settings.rows is not None and settings.rows < len(talks):
        talks = [talks[i] for i in _spread(len(talks), settings.rows)]
    given = made.settings if made is not None else {}
    return with_names(talks, str(given.get("name", "")), str(given.get("author", ""))), split


def with_names(talks: Sequence[Conversation], name: str, author: str) -> list[Conversation]:
    """Return conversations with {{name}} and {{author}} put in, where these are known."""
    known = name or "{{name}}", author or "{{author}}"
    return [dataclasses.replace(c, messages=tuple(named(m, *known) for m in c.messages)) for c in talks]


def _encoded(
    speaker: Speaker, talks: Sequence[Conversation], log: Log
) -> tuple[list[Conversation], list[Row]]:
    kept, encoded, reasons = list[Conversation](), list[Row](), list[str]()
    for talk in talks:
        reason = "it leaves {{name}} open" if any(_is_open(m) for m in talk.messages) else ""
        try:
            ids, flags = encode_chat(speaker.template, talk.messages, tools=talk.tools or None)
        except DataError as e:
            reason, ids, flags = e.problem, [], []
        if not reason and len(ids) > speaker.model.config.max_len:
            reason = f"{len(ids)} tokens do not fit the context of {speaker.model.config.max_len}"
        if reason:
            reasons.append(f"line {talk.line}: {reason}")
        else:
            kept.append(talk)
            encoded.append((ids, flags))
    if reasons:
        log.warn(f"{len(reasons)} conversations cannot be scored; {reasons[0]}")
    if not kept:
        raise DataError(
            f"no conversation can be scored; {reasons[0]}", fix="look at the rows, or the template"
        )
    return kept, encoded


def _is_open(message: dict[str, Any]) -> bool:
    return "{{name}}" in message["content"] or "{{author}}" in message["content"]


@torch.no_grad()
def answer_nats(model: Model, encoded: Sequence[Row]) -> list[float]:
    """Return what the supervised tokens of each row cost, in nats."""
    model.eval()
    nats = np.zeros(len(encoded))
    device = next(model.parameters()).device
    packed = PackedRows(
        [ids for ids, _ in encoded],
        [flags for _, flags in encoded],
        tokens_per_batch=TOKENS_PER_BATCH,
        seed=0,
        pad_id=model.config.pad_id or 0,
    )
    for batch in packed.in_order():
        supervised = batch.targets != IGNORE
        moved = batch.to(device)
        logits = model.head(hidden_states(model, moved)[supervised.to(device)]).float()
        cost = F.cross_entropy(logits, moved.targets[supervised.to(device)], reduction="none").cpu().numpy()
        n_before = np.concatenate([[0], batch.documents.amax(1).cumsum(0).numpy()[:-1]])
        lines, places = (part.numpy() for part in supervised.nonzero(as_tuple=True))
        numbers = n_before[lines] + batch.documents.numpy()[lines, places] - 1
        np.add.at(nats, np.asarray(batch.ids)[numbers], cost)
    return nats.tolist()


def _costs(speaker: Speaker, talks: Sequence[Conversation], encoded: Sequence[Row]) -> list[dict[str, Any]]:
    rows = []
    for talk, (ids, flags), nats in zip(talks, encoded, answer_nats(speaker.model, encoded), strict=True):
        learnt = [id for id, flag in zip(ids, flags, strict=True) if flag]
        n_bytes = len(speaker.tokenizer.decode(learnt).encode())
        parts = {"loss": [nats, len(learnt)], "bits_per_byte": [nats / math.log(2), max(1, n_bytes)]}
        asked = next((m["content"] for m in reversed(talk.messages) if m["role"] == "user"), "")
        reference = spelt(talk.messages[-1])
        rows.append(
            {"id": f"{talk.file}:{talk.line}", "parts": parts, "question": asked, "reference": reference}
        )
    return rows


def _add_answers(
    speaker: Speaker, talks: Sequence[Conversation], rows: list[dict[str, Any]], log: Log
) -> None:
    """Let the model answer some rows: exact match and, with sacreBLEU, chrF of these."""
    places = _spread(len(talks), min(ANSWERED, len(talks)))
    texts = answers(speaker, [(talks[i].messages[:-1], talks[i].tools) for i in places], MAX_NEW_TOKENS)
    has_chrf = importlib.util.find_spec("sacrebleu") is not None
    if not has_chrf:
        log.say("chrF is left out: it needs sacrebleu (pip install 'luban[eval]')")
    for row in rows:
        row["parts"] |= {"exact_match": [0, 0], **({"chrf": [0, 0]} if has_chrf else {})}
    for i, text in zip(places, texts, strict=True):
        row, reference = rows[i], rows[i]["reference"]
        row["answer"] = text
        row["parts"]["exact_match"] = [int(text.strip() == reference), 1]
        if has_chrf:
            row["parts"]["chrf"] = [Counts([text], [[reference]]).sentences("chrf")[0], 1]


def _spread(n: int, most: int) -> list[int]:
    """Return `most` of n places, evenly spread."""
    return np.linspace(0, n - 1, most).round().astype(int).tolist()


def _exponential(value: dict[str, float]) -> dict[str, float]:
    return {
        k: math.exp(v) if k in ("value", "low", "high") and v is not None else v for k, v in value.items()
    }
