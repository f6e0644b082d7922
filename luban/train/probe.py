"""Take a few steps of a run, the longest ones too, to tell what all of it will take."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from luban.device import (
    choose_device,
    is_on_host,
    peak_device_memory_bytes,
    peak_memory_bytes,
    seed_step,
    use_threads,
)
from luban.optim.averaging import Average
from luban.optim.build import build_optimizer
from luban.optim.schedules import lr_at
from luban.records import Batch, Loss, Step
from luban.train.engine import Course, Objective, train
from luban.train.kernels import use_kernels
from luban.train.precision import choose_precision
from luban.train.prefetch import Batches
from luban.train.recompute import recompute_blocks
from luban.train.run import Run

N_STEPS, MORE_SECONDS, MOST_STEPS = 3, 3.0, 12
"""Short steps are timed more often."""
N_SEEN, SEEN_SECONDS = 400, 3.0
"""Steps whose batches are looked at to find the longest, and how long that may take."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """What was measured, and what follows for the whole run. Bytes and seconds."""

    parameters: int
    trainable: int
    weights: int
    gradients: int
    optimizer: int
    average: int
    activations: int
    """Kept for the backward pass of the largest micro-batch."""
    peak: int
    """Of the process, or of the accelerator's memory if the model is there."""
    steps: int
    seconds_per_step: float
    tokens_per_second: float
    n_looks: int
    look_seconds: float

    @property
    def rest(self) -> int:
        """What none of the parts explains: Python, torch, data, and what exists for a moment."""
        parts = self.weights + self.gradients + self.optimizer + self.average + self.activations
        return max(0, self.peak - parts)

    @property
    def seconds(self) -> float:
        """Seconds to the last step, all looks at the validation split included."""
        return self.steps * self.seconds_per_step + self.n_looks * self.look_seconds


def probe(run: Run) -> Probe:
    """Train a few steps, look at the validation split once, and measure. It spends the model."""
    settings, model = run.settings, run.model
    use_threads(settings.threads)
    model.to(device := choose_device(settings.device))
    recompute_blocks(model, settings.recompute)
    optimizer = build_optimizer(model, settings, run.lr_scale)
    average = Average(model, settings.ema_decay) if settings.ema_decay else None
    precision = choose_precision(settings.precision, device)
    use_kernels(model, precision)
    seen = _survey(run.batches, settings.steps)
    kept = _Kept(run.objective, model, seen.n_large * settings.n_micro_batches)
    course = Course(
        model=model,
        batches=_Chosen(run.batches, seen.chosen),
        objective=kept,
        optimizer=optimizer,
        lr_at=lr_at(settings),
        settings=replace(settings, steps=len(seen.chosen)),
        precision=precision,
    )
    steps = _take(course)
    started = time.perf_counter()
    _look(run, average)
    look_seconds = time.perf_counter() - started
    learning = [p for p in model.parameters() if p.requires_grad]
    per_position = statistics.median(s.seconds / s.n_positions for s in steps[seen.n_large :])
    seconds_per_step = per_position * seen.mean_positions
    on_host = is_on_host(learning[0])
    return Probe(
        parameters=sum(p.numel() for p in model.parameters()),
        trainable=sum(p.numel() for p in learning),
        weights=_bytes([*model.parameters(), *model.buffers()]),
        gradients=_bytes(learning),
        optimizer=_bytes([t for s in optimizer.state.values() for t in s.values() if isinstance(t, Tensor)]),
        average=_bytes(learning) if average else 0,
        activations=kept.most,
        peak=peak_memory_bytes() if on_host else peak_device_memory_bytes(device),
        steps=settings.steps,
        seconds_per_step=seconds_per_step,
        tokens_per_second=sum(s.n_tokens for s in steps) / sum(s.n_positions for s in steps) / per_position,
        n_looks=n_looks(settings.steps, settings.evaluate_every_steps) + (run.evaluate_train is not None),
        look_seconds=look_seconds,
    )


def n_looks(steps: int, every: int) -> int:
    """Return how often a run looks at the validation split: before the first step, and after the last."""
    return 1 + -(-steps // every)


@dataclass(frozen=True, slots=True)
class _Survey:
    chosen: tuple[int, ...]
    """The step with most places for tokens, the one with the longest rows, and typical ones."""
    n_large: int
    """The first so many of them are not typical; memory is counted in these, time in the others."""
    mean_positions: float


def _survey(batches: Batches, n_steps: int) -> _Survey:
    """Look at the batches of steps that are spread over the run."""
    until, found = time.perf_counter() + SEEN_SECONDS, []
    spread = range(1, n_steps + 1, max(1, n_steps // N_SEEN))
    for step in _mixed(spread):
        parts = batches.at(step)
        sizes = (max(b.n_positions for b in parts), max(b.tokens.shape[1] for b in parts))
        found.append((step, sum(b.n_positions for b in parts), *sizes))
        if time.perf_counter() > until:
            break
    largest = max(found, key=lambda row: (row[2], row[3]))[0]
    longest = max(found, key=lambda row: (row[3], row[2]))[0]
    typical = [row[0] for row in found if row[0] not in (largest, longest)]
    large = list(dict.fromkeys((largest, longest)))
    chosen = large + (typical or large) * N_STEPS
    return _Survey(tuple(chosen[:MOST_STEPS]), len(large), statistics.fmean(row[1] for row in found))


def _mixed(steps: range) -> list[int]:
    """Return the steps in an order in which any first few are spread evenly."""
    order = sorted(range(len(steps)), key=lambda i: (i * 0.618033988749895) % 1)
    return [steps[i] for i in order]


@dataclass(frozen=True, slots=True)
class _Chosen:
    batches: Batches
    steps: tuple[int, ...]

    def at(self, step: int) -> list[Batch]:
        return self.batches.at(self.steps[step - 1])


class _Kept:
    """An objective that counts, at its first calls, what a forward pass keeps for the backward pass."""

    def __init__(self, objective: Objective, model: nn.Module, n_calls: int):
        self._objective, self._n_calls = objective, n_calls
        self._own = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
        self.most = 0

    def __call__(self, model: nn.Module, batch: Batch) -> Loss:
        if not self._n_calls:
            return self._objective(model, batch)
        self._n_calls -= 1
        found: dict[int, int] = {}

        def pack(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in self._own:
                found[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            loss = self._objective(model, batch)
        self.most = max(self.most, sum(found.values()))
        return loss


def _take(course: Course) -> list[Step]:
    """Take at least N_STEPS steps, more while they are short."""
    taken = []
    until = time.perf_counter() + MORE_SECONDS
    with contextlib.closing(train(course)) as steps:
        for step in steps:
            taken.append(step)
            if len(taken) >= N_STEPS and time.perf_counter() > until:
                break
    return taken


def _look(run: Run, average: Average | None) -> None:
    run.model.eval()
    seed_step(run.settings.seed, 0)
    with average.in_place() if average else contextlib.nullcontext(), torch.no_grad():
        run.evaluate()
        if run.on_evaluate:
            run.on_evaluate(0)


def _bytes(tensors: Sequence[Tensor]) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)
