"""The table of stages: what each reads, which settings it takes, and the function that does it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from luban.log import Log

WITHOUT_EFFECT = ("on_change", "unproven", "log_every_steps", "trackers", "engine", "workers")
"""Settings that say how a run is handled and watched, and change nothing of what it makes."""

Facts = dict[str, Any]
"""What a stage reports into its manifest: `counts` and whatever its report shows."""

StageFunction = Callable[[Any, Mapping[str, Path], Path, Log], Facts]
"""(settings, inputs by name, folder to fill, log) -> facts."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One kind of stage. Modules are named, not imported, so that planning stays fast."""

    name: str
    function: str
    settings: str
    inputs: tuple[str, ...]
    optional: tuple[str, ...] = ()
    many: tuple[str, ...] = ()
    """Inputs that may be a list of paths; the second reaches the stage as "NAME:2", and so on."""
    resumable: bool = False
    """Its unfinished folder holds checkpoints to go on from; its settings have `on_change`."""
    trains: bool = False
    """Its function prepares a run by gradients, and what trains every such run follows."""

    @property
    def module(self) -> str:
        """Module that holds the stage's function."""
        return self.function.partition(":")[0]

    def settings_class(self) -> type[Any]:
        """Import and return the settings dataclass; never imports torch."""
        return _load(self.settings)

    def load(self) -> StageFunction:
        """Import and return the stage's function."""
        function = _load(self.function)
        return partial(_load("luban.tasks.prepared:train_stage"), function) if self.trains else function


def _load(where: str) -> Any:
    module, _, name = where.partition(":")
    return getattr(importlib.import_module(module), name)


BEFORE_TRAINING = (
    Stage(
        "crawl",
        "luban.data.crawl.stage:crawl",
        "luban.data.crawl.settings:CrawlSettings",
        (),
        optional=("seeds", "previous"),
        resumable=True,
    ),
    Stage(
        "collect",
        "luban.data.collect:collect",
        "luban.data.settings:CollectSettings",
        ("raw",),
        many=("raw",),
    ),
    Stage(
        "clean",
        "luban.data.clean:clean",
        "luban.data.settings:CleanSettings",
        ("raw",),
        many=("raw",),
    ),
    Stage(
        "protect",
        "luban.data.protect:protect",
        "luban.data.protect_settings:ProtectSettings",
        ("documents",),
        optional=("opt_out",),
    ),
    Stage(
        "dedup",
        "luban.data.dedup:dedup",
        "luban.data.settings:DedupSettings",
        ("documents",),
        optional=("index",),
        many=("index",),
    ),
    Stage(
        "split",
        "luban.data.split:split",
        "luban.data.settings:SplitSettings",
        ("documents",),
        optional=("previous",),
    ),
    Stage(
        "leaks",
        "luban.data.leaks:leaks",
        "luban.data.settings:LeakSettings",
        ("documents",),
        optional=("evaluation",),
        many=("evaluation",),
    ),
    Stage(
        "convert",
        "luban.data.convert.run:convert_stage",
        "luban.data.convert.settings:ConvertSettings",
        ("data",),
        many=("data",),
    ),
    Stage(
        "label",
        "luban.tasks.label:label",
        "luban.tasks.label_settings:LabelSettings",
        ("documents",),
        optional=("rules", "model"),
    ),
    Stage(
        "tokenizer",
        "luban.tokenizer.train:train_tokenizer",
        "luban.tokenizer.settings:TokenizerSettings",
        ("documents",),
    ),
    Stage(
        "shard",
        "luban.data.shards:shard",
        "luban.data.settings:ShardSettings",
        ("documents", "tokenizer"),
    ),
)
AFTER_TRAINING = (
    Stage(
        "evaluate",
        "luban.tasks.score:score",
        "luban.tasks.settings:ScoreSettings",
        ("model", "data"),
        optional=("domain",),
        many=("domain",),
    ),
    Stage(
        "golden",
        "luban.tasks.golden:golden",
        "luban.tasks.settings:GoldenSettings",
        ("model",),
    ),
)


def _training() -> Iterator[Stage]:
    """Yield the stage of every task that is trained, as its record says."""
    for task in importlib.import_module("luban.tasks.task").all_tasks().values():
        if task.is_trained:
            yield Stage(
                task.name,
                task.prepare or task.train,
                task.settings,
                (task.data, *task.needs),
                optional=task.takes,
                many=(task.data,) if task.many else (),
                resumable=bool(task.prepare),
                trains=bool(task.prepare),
            )


STAGES = {stage.name: stage for stage in (*BEFORE_TRAINING, *_training(), *AFTER_TRAINING)}


def trained_stages() -> tuple[str, ...]:
    """Return the names of the stages that train by gradients."""
    return tuple(stage.name for stage in STAGES.values() if stage.trains)
