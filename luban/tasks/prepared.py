"""A training task made ready: what will be trained, and what becomes of it afterwards.

Whatever looks at a run before it starts (certify, a dry run, a search for the learning rate) takes the
same record that the stage itself trains.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luban.log import Log
from luban.stages import Facts
from luban.tasks.task import find_task
from luban.train.alike import check_alike
from luban.train.certificate import pass_gate
from luban.train.joining import join
from luban.train.run import Run, run_training


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run, and the function that saves its model and completes its facts."""

    run: Run
    finish: Callable[[Facts], Facts]


Prepare = Callable[[Any, Mapping[str, Path], Path, Log], Prepared]
"""(settings, inputs by name, folder to fill, log) -> what the stage would train."""


def preparation(stage: str) -> Prepare:
    """Return what prepares a stage's run."""
    function: Prepare = find_task(stage).load("prepare")
    return function


def train_stage(prepare: Prepare, settings: Any, inputs: Mapping[str, Path], out: Path, log: Log) -> Facts:
    """Prepare a run and train it: the stage of every task that learns by gradients."""
    return train_prepared(prepare(settings, inputs, out, log), out, log)


def train_prepared(prepared: Prepared, out: Path, log: Log) -> Facts:
    """Train what a task has prepared, unless its certificate forbids it, and finish it.

    Started as one process of several, it trains together with the others.
    """
    pass_gate(out, prepared.run.settings.unproven, log)
    ranks = join(prepared.run.settings)
    check_alike(prepared.run.model, prepared.run.batches, ranks)
    return prepared.finish(run_training(prepared.run, out, log, ranks))
