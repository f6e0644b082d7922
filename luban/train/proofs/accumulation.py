"""Proof: a step divided into micro-batches, however unevenly, is the step taken at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from luban.device import seed_step
from luban.records import IGNORE, Batch
from luban.train.engine import Course, train
from luban.train.proofs.subject import (
    TOLERANCE,
    Finding,
    Subject,
    apart,
    draws,
    gradient,
    joined,
    not_applicable,
    still,
)

PARTS = (1, 2, 3)
N_STEPS = 2
LEAST_ROWS, MOST_ROWS = 6, 12
LR = 0.5
"""Large, so that weights change by much more than they are rounded."""


@dataclass(frozen=True, slots=True, eq=False)
class _Fixed:
    """Micro-batches that are known beforehand."""

    steps: Sequence[list[Batch]]

    def at(self, step: int) -> list[Batch]:
        return list(self.steps[step - 1])


def accumulated(subject: Subject) -> Finding:
    """Show that two steps by the loop end in the weights that autograd and torch's own SGD reach.

    The loss of a step is its sum over all rows divided by all targets. Plain gradient descent shows
    the gradient itself, where an adaptive rule would hide its size.
    """
    steps = [_step(subject, number) for number in range(1, N_STEPS + 1)]
    if steps[0].n_groups == 1:
        return not_applicable("a step is one row or group, and has nothing to be divided into")
    is_random = draws(subject, steps[0])
    settings = replace(subject.settings, steps=N_STEPS, l1=0.0, l2=0.0, grad_noise=0.0)
    subject = replace(subject, settings=settings)
    before = _weights(still(subject))
    worst = 0.0
    for n in PARTS:
        micro_batches = [_divided(step, n) for step in steps]
        by_hand = _by_hand(subject, micro_batches if is_random else [[step] for step in steps])
        moved = {name: t - before[name] for name, t in by_hand.items()}
        by_loop = {name: t - before[name] for name, t in _by_loop(subject, micro_batches).items()}
        worst = max(worst, apart(by_loop, moved))
    n_rows = steps[0].n_groups
    sizes = " = ".join(" + ".join(map(str, _sizes(n_rows, n))) for n in PARTS)
    what = f"groups of {steps[0].group} rows" if steps[0].group > 1 else "rows"
    words = f"{N_STEPS} steps of {n_rows} {what} = {sizes} end in the same weights"
    if worst > TOLERANCE:
        words = f"the {what} of a step as {sizes} do not end in the weights of the step taken at once"
    return Finding(words=words, difference=worst, tolerance=TOLERANCE)


def _step(subject: Subject, number: int) -> Batch:
    """Return the rows of a step as one batch; of very small ones, those of the next too."""
    per_step = joined(subject.batches.at(number))
    while per_step.n_groups < LEAST_ROWS and number < LEAST_ROWS * N_STEPS:
        number += N_STEPS
        per_step = joined([per_step, *subject.batches.at(number)])
    rows = per_step.groups(0, min(MOST_ROWS, per_step.n_groups))
    targets = rows.targets.clone()
    targets[0] = IGNORE  # so that equal rows do not make equal counts
    return replace(rows, targets=targets)


def _sizes(n_rows: int, n_parts: int) -> list[int]:
    """Return how many rows each part has: two, then a third of the rest, then what is left."""
    sizes: list[int] = []
    for part in range(min(n_parts, n_rows), 1, -1):
        left = n_rows - sum(sizes)
        sizes.append(max(1, min(left - part + 1, 2 if not sizes else left // 3)))
    return [*sizes, n_rows - sum(sizes)]


def _divided(batch: Batch, n_parts: int) -> list[Batch]:
    parts, start = [], 0
    for size in _sizes(batch.n_groups, n_parts):
        parts.append(batch.groups(start, start + size))
        start += size
    return parts


def _by_loop(subject: Subject, steps: Sequence[list[Batch]]) -> dict[str, Tensor]:
    """Train by the library's own loop; return the weights."""
    model = still(subject)
    model.train = lambda mode=True: model  # type: ignore[method-assign]  # dropout is off
    groups = [{"params": _trainable(model), "lr_scale": 1.0, "penalised": False}]
    course = Course(
        model=model,
        batches=_Fixed(steps),
        objective=subject.objective,
        optimizer=torch.optim.SGD(groups, lr=LR),
        lr_at=lambda step: LR,
        settings=subject.settings,
    )
    for _ in train(course):
        pass
    return _weights(model)


def _by_hand(subject: Subject, steps: Sequence[list[Batch]]) -> dict[str, Tensor]:
    """Train by autograd and torch's SGD alone; return the weights."""
    model = still(subject)
    optimizer = torch.optim.SGD(_trainable(model), lr=LR)
    for number, micro_batches in enumerate(steps, start=1):
        total, n_targets = torch.zeros((), dtype=torch.float64), 0
        for i, batch in enumerate(micro_batches):
            seed_step(subject.settings.seed, number, i)  # what an objective draws, as the loop promises
            loss = subject.objective(model, batch)
            total, n_targets = total + loss.total, n_targets + int(loss.n_targets)
        found = gradient(model, total / n_targets)
        for name, p in model.named_parameters():
            p.grad = found.get(name)
        nn.utils.clip_grad_norm_(_trainable(model), subject.settings.max_grad_norm)
        optimizer.step()
    return _weights(model)


def _trainable(model: nn.Module) -> list[nn.Parameter]:
    return [p for p in model.parameters() if p.requires_grad]


def _weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
