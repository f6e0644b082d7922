"""What a subject of proof is, and how a proof measures: shared by the proofs of `luban certify`.

Each proof compares two ways to the same numbers on real batches. Models are small, in float64 where a
proof compares sums, so that nothing but a mistake is larger than the tolerance.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from luban.device import seed_step
from luban.errors import LubanError
from luban.records import IGNORE, Batch
from luban.train.engine import Objective
from luban.train.prefetch import Batches
from luban.train.settings import Proof, TrainSettings

TOLERANCE = 1e-5
"""Of sums in another order, relative to the largest: some losses are float32 at their end."""
FLOOR = 1e-3
"""A tensor's own largest value counts at least this share of the largest of all: zero is never exact."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Subject:
    """What is proven about: the run of a stage, with a model small enough to train in moments."""

    build: Callable[[bool], nn.Module]
    """Whether to drop out → a fresh model, always with the same weights."""
    batches: Batches
    again: Callable[[], Batches]
    """The same batches made anew, each step divided into another number of micro-batches."""
    objective: Objective
    settings: TrainSettings
    lr_scale: Callable[[str], float] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What a proof has found out."""

    words: str
    difference: float = 0.0
    tolerance: float = 0.0
    applies: bool = True

    @property
    def holds(self) -> bool:
        """Whether the property was not refuted; NaN refutes."""
        return not self.applies or self.difference <= self.tolerance


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """A finding, whose it is, and how long it took."""

    name: Proof
    verdict: Literal["holds", "fails", "does not apply"]
    words: str
    difference: float
    tolerance: float
    seconds: float


def not_applicable(words: str) -> Finding:
    """Return the finding that a property says nothing about this run, and why."""
    return Finding(words=words, applies=False)


def prove(name: Proof, find: Callable[[], Finding]) -> Result:
    """Run one proof; an error that Luban explains refutes the property, any other is a bug."""
    start = time.perf_counter()
    try:
        found = find()
    except LubanError as e:
        found = Finding(words=e.problem, difference=float("inf"))
    return Result(
        name=name,
        verdict="does not apply" if not found.applies else "holds" if found.holds else "fails",
        words=found.words,
        difference=found.difference,
        tolerance=found.tolerance,
        seconds=round(time.perf_counter() - start, 2),
    )


def still(subject: Subject) -> nn.Module:
    """Return the model in float64, without dropout, ready to be compared."""
    return subject.build(False).double().eval()


def score(
    subject: Subject, model: nn.Module, batch: Batch, number: int = 0
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return a batch's summed loss and its gradient by name; an objective that draws draws the same."""
    seed_step(subject.settings.seed, 0, number)
    total = subject.objective(model, batch).total.double()
    return total.detach(), gradient(model, total)


def gradient(model: nn.Module, total: Tensor) -> dict[str, Tensor]:
    """Return the gradient by name, 0 for what a loss does not reach."""
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    found = torch.autograd.grad(total, list(named.values()), allow_unused=True)
    return {
        name: torch.zeros_like(p) if g is None else g
        for (name, p), g in zip(named.items(), found, strict=True)
    }


def draws(subject: Subject, batch: Batch) -> bool:
    """Whether the objective itself draws at random, apart from dropout."""
    model = still(subject)
    with torch.no_grad():
        totals = []
        for number in (1, 2):
            seed_step(subject.settings.seed, 0, number)
            totals.append(float(subject.objective(model, batch).total))
    return totals[0] != totals[1]


def apart(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> float:
    """Return the largest difference of two sets of tensors, relative to the largest values of b."""
    if a.keys() != b.keys():
        return float("inf")
    largest = {name: float(t.abs().max()) if t.numel() else 0.0 for name, t in b.items()}
    least = FLOOR * max(largest.values(), default=0.0) or 1.0
    gaps = [
        float((a[name] - t).abs().max()) / max(largest[name], least) for name, t in b.items() if t.numel()
    ]
    return float("inf") if any(g != g for g in gaps) else max(gaps, default=0.0)


def relative(a: Tensor, b: Tensor) -> float:
    """Return the difference of two numbers relative to the second."""
    return apart({"": a.reshape(1)}, {"": b.reshape(1)})


@dataclass(frozen=True, slots=True, eq=False)
class Few:
    """The batches of a run with a few rows each, or groups of them, so that steps are short."""

    batches: Batches
    n_rows: int = 4

    def at(self, step: int) -> list[Batch]:
        """Return the micro-batches of a step, cut."""
        return [b.groups(0, min(self.n_rows, b.n_groups)) for b in self.batches.at(step)]


def rows_of(batch: Batch, rows: Sequence[int]) -> Batch:
    """Return some rows of a batch whose rows are not grouped; with their ids, if each is one sample."""
    index, is_one_each = torch.tensor(list(rows)), len(batch.ids) == len(batch.tokens)
    tensors = {n: getattr(batch, n)[index] for n in batch.tensor_names() if getattr(batch, n) is not None}
    return Batch(**tensors, ids=tuple(batch.ids[i] for i in rows) if is_one_each else ())


def joined(batches: Sequence[Batch]) -> Batch:
    """Return the rows of several batches as one, each padded to the widest."""
    fill = {"targets": IGNORE}
    parts = {n: [getattr(b, n) for b in batches] for n in Batch.tensor_names()}
    tensors = {n: _stacked(p, fill.get(n, 0)) for n, p in parts.items() if p[0] is not None}
    return Batch(**tensors, ids=tuple(i for b in batches for i in b.ids), group=batches[0].group)


def widened(batch: Batch, n_more: int) -> Batch:
    """Return the rows with so much more padding behind them; a negative number takes it away."""
    more: dict[str, Any] = {
        name: F.pad(t, (0, n_more), value=IGNORE if name == "targets" else 0)
        for name in ("tokens", "documents", "segments", "targets", "reference", "before")
        if (t := getattr(batch, name)) is not None and t.shape == batch.tokens.shape
    }
    return replace(batch, **more)


def targets_are_tokens(batch: Batch) -> bool:
    """Whether every token may have a target, and not only every row."""
    return batch.targets.shape == batch.tokens.shape


def same(a: Batch, b: Batch) -> bool:
    """Whether two batches are equal to the last bit."""
    for f in fields(Batch):
        x, y = getattr(a, f.name), getattr(b, f.name)
        is_equal = torch.equal(x, y) if isinstance(x, Tensor) and isinstance(y, Tensor) else x == y
        if not is_equal:
            return False
    return True


def _stacked(parts: Sequence[Tensor], value: int) -> Tensor:
    if parts[0].ndim < 2:
        return torch.cat(list(parts))
    width = max(p.shape[-1] for p in parts)
    return torch.cat([F.pad(p, (0, width - p.shape[-1]), value=value) for p in parts])
