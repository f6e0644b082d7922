"""What Luban knows of one kind of work: its rows, how it is trained, scored, asked and served.

Each task is one file in `luban/tasks/kinds`, named as the task, with a record `TASK`. Whatever is heavy
is named there as "module:function" and imported when it is wanted, so that `--help` stays fast.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from luban.config import nearest
from luban.errors import CheckpointError, ConfigError
from luban.files import Manifest, read_json

Row = Mapping[str, Any]
KINDS = "luban.tasks.kinds"


@dataclass(frozen=True, slots=True)
class Predictor:
    """A model that is ready to answer, whatever its task."""

    reads: tuple[str, ...]
    """Columns a row must have; a plain text stands for the first, where the others are not needed."""
    predict: Callable[[Sequence[Row]], list[dict[str, Any]]]
    """Rows -> an answer each, as plain data, in the same order."""
    shows: tuple[str, ...]
    """What of an answer a table shows."""
    about: Row = field(default_factory=dict)
    """What a list of models tells of it, such as its labels."""


@dataclass(frozen=True, slots=True)
class Closed:
    """What is said after training: `result` to programs, a table and lines to people."""

    result: dict[str, Any]
    lines: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    table: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Trained:
    """A run that has ended: its folder, facts and settings, and the paths that it was given."""

    out: Path
    facts: dict[str, Any]
    settings: Any
    inputs: Mapping[str, Path]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One kind of work. Strings of the form "module:function" name what is imported only when needed."""

    name: str
    summary: str
    """A line for the help, such as "labels for texts"."""
    rows: Mapping[str, str]
    """What an example is: column -> what it holds."""
    example: Row
    """One row, as it may stand in a file."""
    settings: str = ""
    """Settings dataclass of training; importing it must not import torch."""
    prepare: str = ""
    """(settings, inputs, out, log) -> Prepared: how rows are encoded, the model, the objective."""
    train: str = ""
    """Instead of `prepare`, the whole stage, for what does not learn by gradients."""
    data: str = "data"
    """Name of the input with the rows."""
    many: bool = False
    """Whether there may be several of it."""
    needs: tuple[str, ...] = ()
    """Inputs that it cannot do without, beside the data."""
    takes: tuple[str, ...] = ()
    """Inputs that it may be given."""
    close: str = ""
    """(Trained) -> Closed: what to say after training."""
    heads: tuple[str, ...] = ()
    """Heads of a model folder that mean this task where no manifest says which it is."""
    open: str = ""
    """(folder) -> Predictor."""
    ask_with: str = ""
    """Instead of `open`, the verb that asks such a model."""
    score: str = ""
    """(settings, model, data, out, log) -> facts with `metrics` and `signature`."""
    scores_rows: tuple[tuple[str, ...], ...] = ()
    """Sets of columns that make rows this task's to score, whatever the model was trained for."""
    route: str = ""
    """Path of the server that answers it."""

    @property
    def is_trained(self) -> bool:
        """Whether `luban train` knows it."""
        return bool(self.prepare or self.train)

    def load(self, part: str) -> Any:
        """Import and return what a field names; None where it names nothing."""
        where = getattr(self, part)
        if not where:
            return None
        module, _, name = where.partition(":")
        return getattr(importlib.import_module(module), name)


@cache
def all_tasks() -> Mapping[str, Task]:
    """Return every task by name."""
    package = importlib.import_module(KINDS)
    names = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    found: dict[str, Task] = {name: importlib.import_module(f"{KINDS}.{name}").TASK for name in names}
    wrong = [name for name, task in found.items() if task.name != name]
    if wrong:
        raise ConfigError(
            f"{KINDS}.{wrong[0]} holds the task {found[wrong[0]].name}", fix="name file and task alike"
        )
    return found


def find_task(name: str) -> Task:
    """Return a task by name, or say which there are."""
    tasks = all_tasks()
    if name not in tasks:
        raise ConfigError(f"there is no task {name}", fix=nearest(name, sorted(tasks)))
    return tasks[name]


def task_of(folder: Path) -> Task:
    """Return the task that a model folder is for: the one it was trained for, or what its head can do."""
    tasks = all_tasks()
    if not is_model(folder):
        raise CheckpointError(
            f"{folder} holds no config.json, so it is not a model",
            fix="name a folder that `luban train` wrote",
        )
    manifest = Manifest.read(folder)
    if manifest is not None and manifest.stage in tasks:
        return tasks[manifest.stage]
    kind = head_kind(folder)
    for task in tasks.values():
        if kind in task.heads:
            return task
    raise CheckpointError(
        f"{folder} only encodes texts: it neither writes nor answers",
        fix=f"fine-tune it first: luban train --task classify --model {folder} --data ROWS --out OUT",
    )


def is_model(folder: Path) -> bool:
    """Whether a folder holds a model, or an adapter that names one."""
    return any((folder / name).is_file() for name in ("config.json", "adapter_config.json"))


def head_kind(folder: Path) -> str:
    """Return the kind of head of a model folder, such as "classes" or "spans".

    Classes of which several are right are "classes:several", numbers "classes:number";
    word counts are "bag"; what writes tokens from a source is "seq2seq", from sound "speech".
    """
    from luban.tune.load import read_tuned_config

    path = folder / "config.json"
    if path.is_file() and read_json(path).get("model_type") == "luban-bag":
        return "bag"
    config = read_tuned_config(folder)
    if config.encoder is not None and config.head.kind == "tokens":
        return "speech" if config.source == "audio" else "seq2seq"
    head = config.head
    return head.kind if head.answer == "one" else f"{head.kind}:{head.answer}"


def open_predictor(folder: Path) -> Predictor:
    """Open a model folder to ask it."""
    task = task_of(folder)
    opener = task.load("open")
    if opener is None:
        what = f"luban {task.ask_with} {folder}" if task.ask_with else f"luban evaluate {folder} DATA"
        raise CheckpointError(f"{folder} was made for {task.name}: it predicts no rows", fix=what)
    predictor: Predictor = opener(folder)
    return predictor
