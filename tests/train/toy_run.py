"""A model and batches small enough to train in milliseconds."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from luban.log import Log
from luban.optim.build import build_optimizer
from luban.optim.schedules import lr_at
from luban.records import IGNORE, Batch, Loss
from luban.train import speed
from luban.train.engine import Course
from luban.train.run import Run, run_training
from luban.train.settings import TrainSettings

VOCAB = 11


class Toy(nn.Module):
    """Predicts a token's successor; has dropout, a norm, and an output tied to the embedding."""

    def __init__(self, dropout: float = 0.1):
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Embedding(VOCAB, 8)
        self.layer = nn.Linear(8, 8)
        self.norm = nn.BatchNorm1d(8)  # its running mean is a buffer that a checkpoint must hold
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(8, VOCAB, bias=False)
        self.head.weight = self.stem.weight

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.drop(self.layer(self.stem(tokens)).relu())
        return self.head(self.norm(x.transpose(1, 2)).transpose(1, 2))


@dataclass
class Rows:
    """Counting modulo VOCAB, from random starts; uneven rows of targets."""

    n_micro_batches: int = 1
    fail_at: int = 0
    ignore_at: int = 0

    def at(self, step: int) -> list[Batch]:
        if step == self.fail_at:
            raise RuntimeError("the data broke")
        return [self.batch(step, i) for i in range(self.n_micro_batches)]

    def batch(self, step: int, i: int) -> Batch:
        generator = torch.Generator().manual_seed(1000 * step + i)
        tokens = (torch.randint(VOCAB, (4, 1), generator=generator) + torch.arange(6)) % VOCAB
        targets = (tokens + 1) % VOCAB
        targets[:, : 1 + (step + i) % 4] = IGNORE
        if step and step == self.ignore_at:
            targets[:] = IGNORE
        return Batch(tokens, torch.ones_like(tokens), targets)


def objective(model: nn.Module, batch: Batch) -> Loss:
    logits = model(batch.tokens)
    total = F.cross_entropy(
        logits.flatten(0, 1), batch.targets.flatten(), ignore_index=IGNORE, reduction="sum"
    )
    return Loss(total, int((batch.targets != IGNORE).sum()))


def settings(**changes: Any) -> TrainSettings:
    usual = {"steps": 12, "lr": 0.02, "threads": 1, "device": "cpu", "evaluate_every_steps": 4}
    return TrainSettings(**(usual | {"save_every_steps": 5, "log_every_steps": 100} | changes))


def course(model: nn.Module, batches: Any, **changes: Any) -> Course:
    """What the loop needs; `optimizer`, `lr_at` and `lr_scale` may be given, else settings."""
    given = {k: changes.pop(k) for k in ("optimizer", "lr_at", "precision", "ranks") if k in changes}
    lr_scale = changes.pop("lr_scale", None)
    chosen = settings(**({"steps": 3} | changes))
    usual = {"optimizer": build_optimizer(model, chosen, lr_scale), "lr_at": lr_at(chosen)}
    return Course(model=model, batches=batches, objective=objective, settings=chosen, **(usual | given))


def evaluation(model: nn.Module) -> dict[str, float]:
    batch = Rows().batch(99, 0)
    loss = objective(model, batch)
    return {"loss": loss.total.item() / int(loss.n_targets)}


def run(out: Path, model: nn.Module | None = None, log: Log | None = None, **changes: Any) -> dict[str, Any]:
    """Run the toy; `batches`, `evaluate`, `on_evaluate` and `lr_scale` may be given, else settings."""
    out.mkdir(parents=True, exist_ok=True)
    model = model if model is not None else Toy()
    watch = {k: changes.pop(k) for k in ("on_evaluate", "lr_scale", "evaluate_train") if k in changes}
    aim = changes.pop("objective", objective)
    evaluate = changes.pop("evaluate", lambda: evaluation(model))
    batches = changes.pop("batches", Rows(changes.get("n_micro_batches", 1)))
    log = log or Log(quiet=True)
    chosen = settings(**changes)
    made = Run(model=model, batches=batches, objective=aim, settings=chosen, evaluate=evaluate, **watch)
    return run_training(made, out, log)


def be_quick(patches: pytest.MonkeyPatch) -> None:
    """Neither wait for the disk nor measure the processor: a kill, unlike a power cut, needs no flush."""
    patches.setattr(os, "fsync", lambda handle: None)
    patches.setattr(speed, "measure_matmul_flops", lambda device, **_: 1.0)
