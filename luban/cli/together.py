"""Run a recipe in several processes: the first one runs it, the others come along to train."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luban.log import Log
from luban.recipe import Recipe
from luban.runner import Result, run_recipe
from luban.stages import Facts, Stage, StageFunction

if TYPE_CHECKING:
    from luban.train.announcing import Announcements

LOST = re.compile(r"connection closed|connection reset|timed out|broken pipe|gloo|nccl|socket", re.IGNORECASE)
"""What torch says when another process went away."""


def run_together(recipe: Recipe, log: Log) -> list[Result] | None:
    """Run a recipe; as one process of several, run it once. Returns None where another has the results."""
    if not {"RANK", "WORLD_SIZE"} & os.environ.keys():
        return run_recipe(recipe, log)
    from luban.train.announcing import Announcements
    from luban.train.joining import joined
    from luban.train.ranks import ALONE
    from luban.train.settings import TrainSettings

    trained = {task.name for task in recipe.tasks if task.stage.trains}
    settings = next((t.settings for t in recipe.tasks if t.name in trained), TrainSettings())
    with joined(settings) as ranks:
        if ranks is ALONE:
            return run_recipe(recipe, log)
        others = Announcements()
        with _told_when_lost(ranks.rank):
            if ranks.is_first:
                return _lead(recipe, trained, others, log)
            _follow(recipe, others)
    return None


def _lead(recipe: Recipe, trained: set[str], others: Announcements, log: Log) -> list[Result]:
    """Run the recipe; before a stage that trains, call the others."""
    is_training = False

    def call(name: str, inputs: Mapping[str, Path]) -> None:
        nonlocal is_training
        is_training = True
        others.tell({"task": name, "inputs": {k: str(p.absolute()) for k, p in inputs.items()}})

    def back(facts: Facts) -> Facts:
        nonlocal is_training
        is_training = False
        return facts

    tasks = tuple(
        dataclasses.replace(task, stage=Called.of(task.stage, partial(call, task.name), back))
        if task.name in trained
        else task
        for task in recipe.tasks
    )
    try:
        return run_recipe(dataclasses.replace(recipe, tasks=tasks), log)
    finally:
        if not is_training:  # else they are in the midst of it, and find out by themselves
            others.tell({"done": True})


def _follow(recipe: Recipe, others: Announcements) -> None:
    """Train whenever the first process does; write only to a folder that is thrown away."""
    tasks = {task.name: task for task in recipe.tasks}
    while "done" not in (told := others.hear()):
        task = tasks[told["task"]]
        scratch = Path(tempfile.mkdtemp(prefix="luban-rank-"))
        try:
            inputs = {name: Path(path) for name, path in told["inputs"].items()}
            _check_inputs(inputs)
            task.stage.load()(task.settings, inputs, scratch, Log(quiet=True))
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _check_inputs(inputs: Mapping[str, Path]) -> None:
    from luban.errors import DataError

    for name, path in inputs.items():
        if not path.exists():
            raise DataError(
                f"{path} ({name}) is on the first host, but not on this one",
                fix="put the same data at the same place on every host, or on a disk that they share",
            )


@dataclass(frozen=True, slots=True)
class Called(Stage):
    """A stage that says so before it runs and after it has."""

    before: Callable[[Mapping[str, Path]], None] | None = None
    after: Callable[[Facts], Facts] | None = None

    @classmethod
    def of(
        cls, stage: Stage, before: Callable[[Mapping[str, Path]], None], after: Callable[[Facts], Facts]
    ) -> Called:
        """Return a stage that is the same but for that."""
        same = {f.name: getattr(stage, f.name) for f in dataclasses.fields(stage)}
        return cls(**same, before=before, after=after)

    def load(self) -> StageFunction:
        """Return the stage's function, with what goes before and after."""
        function = Stage.load(self)

        def run(settings: Any, inputs: Mapping[str, Path], out: Path, log: Log) -> Facts:
            assert self.before is not None
            assert self.after is not None
            self.before(inputs)
            return self.after(function(settings, inputs, out, log))

        return run


@contextmanager
def _told_when_lost(rank: int) -> Iterator[None]:
    """Say in words that another process went away; what it died of, it has said itself."""
    from luban.train.joining import RanksError

    try:
        yield
    except RuntimeError as e:
        if not LOST.search(str(e)):
            raise
        first_line = str(e).strip().splitlines()[0]
        raise RanksError(
            f"process {rank} has lost another one: {first_line}",
            fix="the same command goes on from the last checkpoint",
        ) from None
