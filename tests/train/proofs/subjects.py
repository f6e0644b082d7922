"""Runs of small models over rows that are a pure function of (seed, step)."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from luban.data.batches import Bucketed
from luban.data.order import endless
from luban.data.row_groups import RowGroups
from luban.models.build import build_model
from luban.models.config import HeadConfig
from luban.models.families import FAMILIES
from luban.objectives.classes import classes
from luban.objectives.policy import policy
from luban.objectives.preference import Strength, preference
from luban.objectives.vocabulary import supervised_tokens
from luban.records import IGNORE, Batch, Loss
from luban.tasks.shrink import shrunk_builder
from luban.train.proofs.subject import Subject
from luban.train.settings import TrainSettings
from luban.tune.lora import attach
from luban.tune.settings import LoraSettings

VOCAB, WIDTH, N_SAMPLES = 40, 14, 30


@dataclass(frozen=True)
class Packed:
    """Rows of three documents, or of one and padding; an epoch has N_SAMPLES."""

    n_rows: int = 5
    n_micro_batches: int = 1
    n_documents: int = 3

    def at(self, step: int) -> list[Batch]:
        per_step = self.n_rows * self.n_micro_batches
        ids = endless((step - 1) * per_step, step * per_step, N_SAMPLES, 1)
        return [self.read(part) for part in ids.reshape(self.n_micro_batches, -1).tolist()]

    def read(self, ids: list[int]) -> Batch:
        tokens, documents = (torch.zeros(len(ids), WIDTH, dtype=torch.long) for _ in range(2))
        for row, i in enumerate(ids):
            draw = np.random.default_rng(i)
            cuts = [0, *sorted(draw.choice(np.arange(2, WIDTH - 2), self.n_documents - 1, replace=False))]
            ends = [*cuts[1:], WIDTH - i % 3]
            for number, (start, end) in enumerate(zip(cuts, ends, strict=True), start=1):
                documents[row, start:end] = number
            tokens[row] = torch.from_numpy(draw.integers(3, VOCAB, WIDTH))
        targets = tokens.roll(-1, 1)
        targets[documents != documents.roll(-1, 1)] = IGNORE
        targets[:, -1] = IGNORE
        targets[documents == 0] = IGNORE
        return Batch(tokens, documents, targets, tuple(ids))


def rows(n_micro_batches: int = 1, tokens_per_batch: int = 60) -> Bucketed:
    """Rows of unlike lengths with classes."""
    draw = np.random.default_rng(3)
    texts = [draw.integers(3, VOCAB, 3 + i % 9).tolist() for i in range(N_SAMPLES)]
    labels = [i % 2 for i in range(N_SAMPLES)]
    return Bucketed(
        texts, labels, tokens_per_batch=tokens_per_batch, seed=1, n_micro_batches=n_micro_batches, pad_id=0
    )


def grouped(size: int = 2) -> Subject:
    """A decoder over pairs of answers, or over answers one by one that are scored as wholes."""
    draw = np.random.default_rng(5)
    answers = [
        (draw.integers(3, VOCAB, 4 + i % 9).tolist(), [False] * 2 + [True] * (2 + i % 9)) for i in range(40)
    ]
    batches = RowGroups(answers, size, tokens_per_batch=80, seed=1)
    again = RowGroups(answers, size, tokens_per_batch=40, n_micro_batches=2, seed=1)
    objective = partial(preference, strength=Strength()) if size == 2 else _signed
    return dataclasses.replace(
        language_model("llama", batches=batches), again=lambda: again, objective=objective
    )


def _signed(model: Any, batch: Batch) -> Loss:
    assert batch.signal is not None
    return policy(model, dataclasses.replace(batch, signal=batch.signal[:, 0]))


def settings(**changes: Any) -> TrainSettings:
    usual: dict[str, Any] = {"lr": 0.01, "threads": 1, "device": "cpu", "ema_decay": 0.9, "patience": 5}
    return TrainSettings(**(usual | changes))


def language_model(family: str = "gpt2", batches: Any = None, lora: bool = False, **changes: Any) -> Subject:
    """A decoder over packed rows, with dropout."""
    sizes = {"dim": 32, "n_layers": 3, "n_heads": 4, "max_len": WIDTH + 4, "dropout": 0.2}
    model = build_model(FAMILIES[family].config("tiny", vocab_size=VOCAB, pad_id=0, **sizes))
    return _subject(
        model, batches or Packed(), Packed(n_rows=1, n_micro_batches=5), supervised_tokens, lora, changes
    )


def classifier(family: str = "bert", batches: Any = None, **changes: Any) -> Subject:
    """An encoder over padded rows."""
    head = HeadConfig(kind="classes", n_classes=2, labels=("bad", "good"), pool="first")
    sizes: dict[str, Any] = {"dim": 32, "n_layers": 2, "max_len": 16, "dropout": 0.1}
    sizes |= {"n_heads": 4} if family != "recurrent" else {}
    config = FAMILIES[family].config("tiny", vocab_size=VOCAB, pad_id=0, head=head, **sizes)
    objective = partial(classes, label_smoothing=0.1)
    return _subject(build_model(config), batches or rows(), rows(2, 30), objective, False, changes)


def _subject(model: Any, batches: Any, again: Any, objective: Any, lora: bool, changes: Any) -> Subject:
    if lora:
        attach(model, LoraSettings(rank=2, alpha=8.0))
    return Subject(
        build=shrunk_builder(model, seed=1),
        batches=batches,
        again=lambda: again,
        objective=objective,
        settings=settings(**changes),
    )


def without_again(subject: Subject, other: Any) -> Subject:
    """Return the subject whose batches, made anew, are other ones."""
    return dataclasses.replace(subject, again=lambda: other)
