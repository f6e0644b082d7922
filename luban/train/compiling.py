"""Compile the blocks of a model where that pays: a short trial says so before the first step.

One compiled body serves all layers and all shapes. Compiled and eager blocks differ in the last bits, so
a run decides once; each checkpoint holds the decision.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from luban.device import seed_step, synchronize
from luban.errors import ConfigError
from luban.log import Log
from luban.records import Batch
from luban.train.precision import Precision
from luban.train.recompute import blocks
from luban.train.speed import flops_per_token

if TYPE_CHECKING:
    from luban.train.run import Run

LEAST_COST_SECONDS = 20.0
"""Of compiling on two CPU cores. Measured: 28 s for the first graph of a block, forward and backward,
with nothing in the cache, 7 s with all of it there; one more for rows that hold several documents."""
MOST_SAVED = {"cpu": 0.07}
"""Share of a step that a compiler has been seen to save; measured on two AVX2 cores: -0.03 to 0.07."""
MOST_SAVED_ELSEWHERE = 0.5
"""Training with torch.compile was 1.4 times as fast in the mean, rarely twice (PyTorch 2, ASPLOS 2024)."""
SLOWEST = {"cpu": 1e10}
"""Operations a second that a training step reaches at the least; where not known, a step is timed."""
WORTH_TRYING = 3
"""A trial costs as much as compiling, so what it could save at most must be so many times that."""
LEAST_GAIN = 0.02
"""A smaller share of a step is within what timing can tell."""
N_TIMED = 3
_CALL = "_compiled_call_impl"  # where nn.Module.compile leaves what it made
_COMPILERS = ("g++", "clang++", "c++", "cl")


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether the blocks of a run are compiled, and why."""

    compiled: bool
    words: str


def compile_blocks(model: nn.Module) -> None:
    """Compile each block in place, the next time it is called; names of parameters stay.

    With other changes: spread matrices first, then recompute, then this, then shard.
    """
    for block in blocks(model):
        block.compile(dynamic=True)


@contextlib.contextmanager
def eager(model: nn.Module) -> Iterator[None]:
    """Leave compiled blocks aside for a while: a look at other shapes would have to compile for them."""
    held = {block: vars(block).pop(_CALL) for block in blocks(model) if _CALL in vars(block)}
    try:
        yield
    finally:
        for block, call in held.items():
            setattr(block, _CALL, call)


def leave_eager(model: nn.Module) -> None:
    """Undo `compile_blocks`."""
    for block in blocks(model):
        vars(block).pop(_CALL, None)


def recompiles() -> int:
    """Return how many graphs this process has compiled beyond the first."""
    dynamo = sys.modules.get("torch._dynamo.utils")  # absent until something is compiled
    return max(0, dynamo.counters["stats"]["unique_graphs"] - 1) if dynamo else 0


def decide(
    run: Run,
    precision: Precision,
    log: Log,
    steps: range,
    *,
    before: bool | None = None,
    alone: bool = True,
) -> Decision:
    """Compile the blocks of a run or not, and say so; `before` is what the same run once decided.

    The trial computes gradients of the first of `steps` and changes nothing. Processes that work
    together could time differently: `alone` tells that there is one; else auto stays eager.
    """
    made = _decide(run, precision, steps, before) if alone else _decide_together(run)
    if made.words:
        log.say(made.words, compiled=made.compiled)
    return made


def _decide(run: Run, precision: Precision, steps: range, before: bool | None) -> Decision:
    wish = run.settings.compile
    if wish == "auto" and before is not None:
        wish = "on" if before else "off"
    if wish == "off" or not steps:
        return Decision(bool(before) and not steps, "")
    if reason := _cannot(run.model):
        if wish == "on":
            raise ConfigError(f"compile = on, but {reason[0]}", fix=reason[1])
        return Decision(False, f"compile: off, {reason[0]}")
    if wish == "on":
        seconds = _compile(run, precision, _first_batches(run, steps))
        return Decision(True, f"compile: on, took {seconds:.0f} s")
    return _try(run, precision, steps)


def _decide_together(run: Run) -> Decision:
    if run.settings.compile == "on" and (reason := _cannot(run.model)):
        raise ConfigError(f"compile = on, but {reason[0]}", fix=reason[1])
    if run.settings.compile == "on":
        compile_blocks(run.model)
    return Decision(run.settings.compile == "on", "")


def _cannot(model: nn.Module) -> tuple[str, str] | None:
    """Return why blocks cannot be compiled, and what to do; None if they can be."""
    if not any(True for _ in blocks(model)):
        return "this model has no blocks that a compiler takes", "set compile to off"
    if not any(name and shutil.which(name) for name in (os.environ.get("CXX", ""), *_COMPILERS)):
        return "there is no C++ compiler", "install g++ or clang++, or set compile to off"
    return None


def _try(run: Run, precision: Precision, steps: range) -> Decision:
    """Time eager blocks, and compiled ones too if they could be worth it."""
    kind, batches = precision.device.type, _first_batches(run, steps)
    n_passes = len(steps) * len(run.batches.at(steps[0]))
    most = MOST_SAVED.get(kind, MOST_SAVED_ELSEWHERE)
    enough = WORTH_TRYING * LEAST_COST_SECONDS / most
    tokens = n_passes * max(b.n_positions for b in batches)
    work = tokens * (run.flops_per_token or flops_per_token(run.model))
    if kind in SLOWEST and work / SLOWEST[kind] < enough:
        return Decision(False, f"compile: off, {len(steps)} steps are too little work to repay it")
    first = _seconds(run, precision, batches[:1])
    if n_passes * first < enough:
        return Decision(
            False,
            f"compile: off, {len(steps)} steps × {first * n_passes / len(steps):.2g} s; compiling takes "
            f"{LEAST_COST_SECONDS:.0f} s or more and saves at most {most:.0%}",
        )
    slow = _seconds(run, precision, batches)
    try:
        cost = _compile(run, precision, batches)
    except ConfigError as e:
        return Decision(False, f"compile: off, {e.problem}")
    fast = _seconds(run, precision, batches)
    return _weigh(run, len(steps), n_passes // len(steps), slow, fast, cost)


def _weigh(run: Run, n_steps: int, n_micro: int, slow: float, fast: float, cost: float) -> Decision:
    """Keep what is compiled if it is faster: what it cost is spent."""
    pays = slow - fast > LEAST_GAIN * slow
    if not pays:
        leave_eager(run.model)
    saved = (slow - fast) * n_micro
    gain = f"saves {saved:.2g} s" if saved > 0 else f"loses {-saved:.2g} s"
    return Decision(
        pays,
        f"compile: {'on' if pays else 'off'}, {n_steps} steps × {slow * n_micro:.2g} s; compiling took "
        f"{cost:.0f} s and {gain} a step",
    )


def _first_batches(run: Run, steps: range) -> list[Batch]:
    """Return the first micro-batch of each of the first steps: their shapes differ."""
    return [run.batches.at(step)[0] for step in steps[:N_TIMED]]


def _compile(run: Run, precision: Precision, batches: Sequence[Batch]) -> float:
    """Compile for the shapes of these batches; return the seconds it took."""
    from torch._dynamo.exc import TorchDynamoException  # which takes seconds to import

    start = time.perf_counter()
    try:
        compile_blocks(run.model)
        for batch in batches:
            _gradients(run, precision, batch)
    except (TorchDynamoException, RuntimeError) as e:
        leave_eager(run.model)
        lines = str(e).strip().splitlines() or [type(e).__name__]
        raise ConfigError(f"the blocks cannot be compiled: {lines[0][:200]}", fix="set compile to off") from e
    return time.perf_counter() - start


def _seconds(run: Run, precision: Precision, batches: Sequence[Batch]) -> float:
    """Return the median seconds of a forward and a backward pass."""
    taken = []
    for batch in batches:
        start = time.perf_counter()
        _gradients(run, precision, batch)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def _gradients(run: Run, precision: Precision, batch: Batch) -> None:
    """Compute the gradients of a batch and throw them away."""
    run.model.train()
    seed_step(run.settings.seed, 0)
    with precision.forward():
        loss = run.objective(run.model, batch.to(precision.device))
    learning = [p for p in run.model.parameters() if p.requires_grad]
    torch.autograd.grad(loss.total, learning, allow_unused=True)
    synchronize(precision.device)
