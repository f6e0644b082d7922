"""Golden files: what a finished model answers, so that every later copy can be held to it.

A golden file lists prompts with their token ids, the logits at the last position, and the answer:
greedy text for language models, a label for classifiers. The text is made without a cache, one
forward pass over everything per token, so that a replay through a cached decoder checks that too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from luban.errors import CheckpointError
from luban.files import read_json, write_json

if TYPE_CHECKING:
    from luban.models.model import Model
    from luban.tokenizer import Tokenizer

GOLDEN = "golden.json"
N_TOP = 20
FULL_LIST = 100
"""Vocabularies up to this size are recorded whole."""
N_NEW_TOKENS = 32
NEAR_TIE = 1e-3
"""Two logits closer than this may change places by rounding alone."""
PROMPTS = ("The old house stood", "It was", "今天", "我们 2024", "def main():")
"""What language models are asked when a recipe names no prompts: English, Chinese, digits, code."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a copy says to one prompt; None for what it does not show.

    logits: the last position's, by token or class number.
    """

    ids: list[int] | None = None
    logits: Sequence[float] | None = None
    text: str | None = None
    label: str | None = None
    probabilities: dict[str, float] | None = None


@dataclass(frozen=True, slots=True)
class Drift:
    """One way in which a copy's answer left the golden one. `difference` is 0 for words and ids."""

    prompt: str
    what: str
    expected: str
    found: str
    difference: float = 0.0


@dataclass(frozen=True, slots=True)
class Replay:
    """The outcome for one copy."""

    drifts: list[Drift]
    max_difference: float
    n_prompts: int


def record(model: Model, tokenizer: Tokenizer, prompts: Sequence[str], path: Path) -> dict[str, Any]:
    """Write the model's answers as a golden file and return its content.

    Prompts that the model cannot read whole are left out.
    """
    was_training = model.training
    model.eval()
    try:
        is_classifier = model.config.head.kind == "classes"
        longest = model.config.max_len - (not is_classifier)
        encode = partial(tokenizer.encode, special=is_classifier)
        one = _record_classes if is_classifier else _record_text
        fitting = [p for p in prompts if 0 < len(encode(p)) <= longest]
        rows = [one(model, tokenizer, prompt) for prompt in fitting]
    finally:
        model.train(was_training)
    content = {"kind": "label" if is_classifier else "text", "prompts": rows}
    write_json(path, content)
    return content


def read_golden(path: Path) -> dict[str, Any]:
    """Read a golden file."""
    content: dict[str, Any] = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("prompts"), list):
        raise CheckpointError(f"{path} is not a golden file", fix="record it again at the end of training")
    return content


def replay(path: Path, answer: Callable[[dict[str, Any]], Answer], tolerance: float = 1e-4) -> Replay:
    """Ask a copy every prompt again; `answer` takes one row of the golden file."""
    drifts: list[Drift] = []
    largest = 0.0
    rows = read_golden(path)["prompts"]
    for row in rows:
        found, difference = _drifts(row, answer(row), tolerance)
        drifts += found
        largest = max(largest, difference)
    return Replay(drifts, largest, len(rows))


@torch.no_grad()
def _record_text(model: Model, tokenizer: Tokenizer, prompt: str) -> dict[str, Any]:
    ids = tokenizer.encode(prompt)
    first = _last_logits(model, ids)
    written: list[int] = []
    sure: int | None = None
    n_new = min(N_NEW_TOKENS, model.config.max_len - len(ids))
    for i in range(n_new):
        logits = _last_logits(model, ids + written)
        best, second = torch.topk(logits, 2).values.tolist()
        if sure is None and best - second < NEAR_TIE:
            sure = i  # a copy that rounds otherwise may honestly go another way from here
        token = int(logits.argmax())
        if token == tokenizer.eos_id:
            break
        written.append(token)
    row = {"prompt": prompt, "ids": ids, "new_tokens": n_new, "text": tokenizer.decode(written)}
    if sure is not None:
        row["sure_text"] = tokenizer.decode(written[:sure]).rstrip("\ufffd")
    return row | _logits(first)


@torch.no_grad()
def _record_classes(model: Model, tokenizer: Tokenizer, prompt: str) -> dict[str, Any]:
    ids = tokenizer.encode(prompt, special=True)
    logits = model(torch.tensor([ids]))[0].float()
    labels = model.config.head.labels
    probabilities = dict(zip(labels, logits.softmax(-1).tolist(), strict=True))
    label = labels[int(logits.argmax())]
    row = {"prompt": prompt, "ids": ids, "label": label, "probabilities": probabilities}
    return row | _logits(logits)


def _last_logits(model: Model, ids: list[int]) -> torch.Tensor:
    return model(torch.tensor([ids]))[0, -1].float()


def _logits(logits: torch.Tensor) -> dict[str, Any]:
    if len(logits) <= FULL_LIST:
        return {"logits": logits.tolist()}
    values, ids = torch.topk(logits, N_TOP)
    return {"top": [{"id": i, "logit": v} for i, v in zip(ids.tolist(), values.tolist(), strict=True)]}


def _drifts(row: dict[str, Any], found: Answer, tolerance: float) -> tuple[list[Drift], float]:
    prompt = row["prompt"]
    drifts, largest = [], 0.0
    if found.ids is not None and found.ids != row["ids"]:
        drifts.append(Drift(prompt, "token ids", str(row["ids"][:12]), str(found.ids[:12])))
    if found.text is not None and not _same_text(row, found.text):
        drifts.append(Drift(prompt, "text", row["text"], found.text))
    if found.label is not None and found.label != row["label"]:
        drifts.append(Drift(prompt, "label", row["label"], found.label))
    for what, expected, value in _numbers(row, found):
        difference = abs(expected - value)
        largest = max(largest, difference)
        if not difference <= tolerance:  # written so that nan is a drift
            drifts.append(Drift(prompt, what, f"{expected:.6g}", f"{value:.6g}", difference))
    return drifts, largest


def _same_text(row: dict[str, Any], text: str) -> bool:
    if "sure_text" in row:
        return text.startswith(row["sure_text"])
    # A decoder that streams holds back a last character that is not whole yet.
    return text.rstrip("\ufffd") == row["text"].rstrip("\ufffd")


def _numbers(row: dict[str, Any], found: Answer) -> list[tuple[str, float, float]]:
    pairs: list[tuple[str, float, float]] = []
    if found.logits is not None:
        recorded = row.get("top") or [{"id": i, "logit": v} for i, v in enumerate(row["logits"])]
        for entry in recorded:
            value = found.logits[entry["id"]] if entry["id"] < len(found.logits) else float("nan")
            pairs.append((f"logit {entry['id']}", entry["logit"], value))
    if found.probabilities is not None:
        for label, expected in row["probabilities"].items():
            value = found.probabilities.get(label, float("nan"))
            pairs.append((f"probability of {label}", expected, value))
    return pairs
