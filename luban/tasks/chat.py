"""Instruction tuning: conversations → a model that answers as their assistant does."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from luban.data.messages import Conversation, read_conversations
from luban.data.packing import PackedRows
from luban.data.split import assign
from luban.errors import ConfigError, DataError
from luban.evaluate.golden import GOLDEN, PROMPTS, record
from luban.files import hash_json, write_jsonl
from luban.log import Log
from luban.models.model import Model
from luban.models.width import lr_dim, width_lr_scale
from luban.objectives.vocabulary import supervised_tokens
from luban.stages import Facts
from luban.tasks.model_settings import SurgerySettings
from luban.tasks.prepared import Prepared, train_prepared
from luban.tasks.settings import ChatSettings
from luban.tasks.start import open_model
from luban.tasks.task import Closed, Trained
from luban.tokenizer import Tokenizer, load_tokenizer
from luban.tokenizer.chat import ChatTemplate, encode_chat
from luban.train.run import Run
from luban.tune.methods import Applied, apply_method

HELD_OUT = 0.1
EPOCHS, MIN_STEPS, MAX_EPOCHS = 2, 60, 10
"""When the settings name no length: so many passes, more over few rows."""
LR_LORA, LR_FULL, LR_DIM = 5e-4, 1e-4, 576
"""Peak learning rates for a model of that width; a wider one learns slower."""
MOST_REFUSED = 50
"""So many conversations in a row that a template refuses are the template's fault."""


def chat(settings: ChatSettings, inputs: Mapping[str, Path], out: Path, log: Log) -> Facts:
    """Tune a model on conversations; leave the best weights, adapters folded in, in `out`."""
    return train_prepared(prepare(settings, inputs, out, log), out, log)


def prepare(settings: ChatSettings, inputs: Mapping[str, Path], out: Path, log: Log) -> Prepared:
    """Read the conversations and the model, and put adapters on it."""
    folder = inputs["model"]
    model, tokenizer = (
        open_model(folder, SurgerySettings(), log=log, seed=settings.seed),
        load_tokenizer(folder),
    )
    _check(model, tokenizer, folder)
    max_len = min(settings.max_len, model.config.max_len)
    rows = _read(inputs, settings, tokenizer, max_len)
    if rows.rejects:
        log.warn(f"{len(rows.rejects)} rows are set aside; the first: {rows.rejects[0]['reason']}")
    _end_turns(model, tokenizer, rows, log)
    applied = apply_method(model, settings.method, settings)
    batches = _packed(rows.train, settings, model)
    validation = _packed(rows.validation, settings, model)
    seen = _packed(rows.train[:: 1 + len(rows.train) // len(rows.validation)], settings, model)
    plan = _plan(settings, batches.steps_per_epoch, model)
    run = Run(
        model=model,
        batches=batches,
        objective=supervised_tokens,
        settings=plan,
        evaluate=partial(_evaluate, model, validation),
        evaluate_train=partial(_evaluate, model, seen),
        lr_scale=width_lr_scale(model, model.config),
    )

    def finish(facts: Facts) -> Facts:
        _save(model, tokenizer, applied, folder, out)
        write_jsonl(out / "rejects.jsonl", rows.rejects)
        counts = {
            "train_rows": len(rows.train),
            "validation_rows": len(rows.validation),
            "train_targets": batches.n_targets,
            "rejected_rows": len(rows.rejects),
        }
        return facts | {
            "counts": facts["counts"] | counts,
            "family": model.config.family,
            "method": settings.method,
            "lr": plan.lr,
            "max_len": max_len,
        }

    return Prepared(run, finish)


Row = tuple[list[int], list[bool]]
"""Ids, and which of them an answer is made of."""


@dataclass(slots=True)
class _Rows:
    train: list[Row] = field(default_factory=list)
    validation: list[Row] = field(default_factory=list)
    rejects: list[dict[str, Any]] = field(default_factory=list)


def _check(model: Model, tokenizer: Tokenizer, folder: Path) -> None:
    config = model.config
    if (
        config.head.kind != "tokens"
        or config.encoder is not None
        or getattr(config.trunk, "sight", "") == "full"
    ):
        raise ConfigError(
            f"{folder} is a {config.family} model, which does not go on with a text",
            fix="give a decoder, such as a llama, qwen or gpt2 model",
        )
    tokenizer.check_fits(config.vocab_size, folder)


def _read(inputs: Mapping[str, Path], settings: ChatSettings, tokenizer: Tokenizer, max_len: int) -> _Rows:
    """Read, part and encode conversations; those with the same question stay in one part."""
    found = read_conversations(inputs["data"])
    rows = _Rows(rejects=found.rejects)
    if "eval" in inputs:
        apart = read_conversations(inputs["eval"])
        rows.rejects += apart.rejects
        parts = {"train": found.kept, "validation": apart.kept}
    else:
        parts = _parts(found.kept)
    with ChatTemplate(tokenizer) as template:
        for name, kept in parts.items():
            getattr(rows, name).extend(_encoded(template, kept, settings, max_len, rows.rejects))
    for name in parts:
        if not getattr(rows, name):
            first = rows.rejects[0]["reason"] if rows.rejects else "there are too few"
            raise DataError(
                f"{inputs['data']} leaves no conversation for {name}; the first set aside: {first}",
                fix="give more rows, or raise max_len",
            )
    return rows


def _parts(found: Sequence[Conversation]) -> dict[str, list[Conversation]]:
    """Part conversations as they are marked, or else by hash; those marked as a test are left alone."""
    parts: dict[str, list[Conversation]] = {"train": [], "validation": []}
    if any(c.split == "validation" for c in found):
        for conversation in (c for c in found if c.split != "test"):
            parts[conversation.split or "train"].append(conversation)
        return parts
    rest = [c for c in found if c.split != "test"]
    names = [_question(c) for c in rest]
    part_of = assign(names, validation=HELD_OUT, test=0.0, seed=1)
    for conversation, name in zip(rest, names, strict=True):
        parts[part_of[name]].append(conversation)
    return parts


def _question(conversation: Conversation) -> str:
    """Return a hash of all that is not answered: who asks the same is in the same part."""
    return hash_json([m for m in conversation.messages if m["role"] != "assistant"])


def _encoded(
    template: ChatTemplate,
    conversations: Sequence[Conversation],
    settings: ChatSettings,
    max_len: int,
    rejects: list[dict[str, Any]],
) -> list[Row]:
    kept: list[Row] = []
    for i, conversation in enumerate(conversations):
        try:
            messages = [_named(m, settings) for m in conversation.messages]
            ids, supervised = encode_chat(template, messages, tools=conversation.tools or None)
        except DataError as e:
            rejects.append(conversation.reject(e.problem))
            if not kept and i + 1 >= min(MOST_REFUSED, len(conversations)):
                raise
            continue
        if len(ids) > max_len:
            rejects.append(conversation.reject(f"{len(ids)} tokens, more than max_len = {max_len}"))
        elif not any(supervised[1:]):
            rejects.append(conversation.reject("no token to learn"))
        else:
            kept.append((ids, supervised))
    return kept


def _named(message: dict[str, Any], settings: ChatSettings) -> dict[str, Any]:
    text = message["content"]
    for key in ("name", "author"):
        if f"{{{{{key}}}}}" in text:
            value = getattr(settings, key)
            if not value:
                raise DataError(f"a turn says {{{{{key}}}}}", fix=f"set train.{key}")
            text = text.replace(f"{{{{{key}}}}}", value)
    return {**message, "content": text}


def _end_turns(model: Model, tokenizer: Tokenizer, rows: _Rows, log: Log) -> None:
    """Let the token that ends an answer end what the model writes; a template without one is refused."""
    ids, supervised = rows.train[0]
    end = next(id for id, flag in zip(reversed(ids), reversed(supervised), strict=True) if flag)
    if end not in tokenizer.special_ids:
        raise DataError(
            f"the chat template ends an answer with {tokenizer.piece(end)!r}, no special token, so the model "
            "would not learn to stop",
            fix="let the template write eos_token after an answer",
        )
    if end != model.config.eos_id:
        log.say(f"{tokenizer.token(end)} now ends what the model writes, as its chat template does")
        model.config = dataclasses.replace(model.config, eos_id=end)


def _packed(rows: Sequence[Row], settings: ChatSettings, model: Model) -> PackedRows:
    return PackedRows(
        [ids for ids, _ in rows],
        [supervised for _, supervised in rows],
        tokens_per_batch=settings.tokens_per_batch,
        seed=settings.seed,
        n_micro_batches=settings.n_micro_batches,
        pad_id=model.config.pad_id or 0,
    )


def _plan(settings: ChatSettings, per_epoch: int, model: Model) -> ChatSettings:
    """Return the settings with everything that was left open decided."""
    epochs = settings.epochs or min(MAX_EPOCHS, max(EPOCHS, math.ceil(MIN_STEPS / per_epoch)))
    steps = settings.steps or max(2, math.ceil(epochs * per_epoch))
    base = LR_LORA if settings.method == "lora" else LR_FULL
    return dataclasses.replace(
        settings,
        epochs=None,
        steps=steps,
        lr=settings.lr or base * min(1.0, LR_DIM / lr_dim(model.config)),
        evaluate_every_steps=settings.evaluate_every_steps or min(per_epoch, steps),
        save_every_steps=settings.save_every_steps or min(per_epoch, steps),
    )


@torch.no_grad()
def _evaluate(model: Model, rows: PackedRows) -> dict[str, float]:
    """Return the loss, in nats per token of the answers."""
    model.eval()
    device = next(model.parameters()).device
    total, n_targets = 0.0, 0
    for batch in rows.in_order():
        loss = supervised_tokens(model, batch.to(device))
        total, n_targets = total + loss.total.item(), n_targets + int(loss.n_targets)
    return {"loss": total / n_targets}


def _save(model: Model, tokenizer: Tokenizer, applied: Applied, base: Path, out: Path) -> None:
    model.to("cpu")
    applied.save(model, out, base)
    tokenizer.save(out)
    record(model, tokenizer, PROMPTS, out / GOLDEN)


def close(trained: Trained) -> Closed:
    """Say what the held-out answers cost before, and now."""
    facts, out = trained.facts, trained.out
    before, now = facts["first"]["loss"], facts["best"]["loss"]
    return Closed(
        {"out": str(out), "first": facts["first"], "best": facts["best"]},
        (f"nats per token of held-out answers: {before:.3f} before, {now:.3f} now", f"luban serve {out}"),
    )
