"""The table of stages: what each reads, which settings it takes, and the function that does it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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

    @property
    def module(self) -> str:
        """Module that holds the stage's function."""
        return self.function.partition(":")[0]

    def settings_class(self) -> type[Any]:
        """Import and return the settings dataclass; never imports torch."""
        return _load(self.settings)

    def load(self) -> StageFunction:
        """Import and return the stage's function."""
        return _load(self.function)


def _load(where: str) -> Any:
    module, _, name = where.partition(":")
    return getattr(importlib.import_module(module), name)


STAGES = {
    stage.name: stage
    for stage in (
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
        Stage(
            "pretrain",
            "luban.tasks.pretrain:pretrain",
            "luban.tasks.settings:PretrainSettings",
            ("shards",),
            optional=("model",),
            many=("shards",),
            resumable=True,
        ),
        Stage(
            "classify",
            "luban.tasks.classify:classify",
            "luban.tasks.settings:ClassifySettings",
            ("data",),
            optional=("model", "tokenizer", "vectors", "eval"),
            resumable=True,
        ),
        Stage(
            "chat",
            "luban.tasks.chat:chat",
            "luban.tasks.settings:ChatSettings",
            ("data", "model"),
            optional=("eval",),
            resumable=True,
        ),
        Stage(
            "vectors",
            "luban.tasks.vectors:vectors",
            "luban.tasks.settings:VectorsSettings",
            ("data",),
            many=("data",),
            resumable=True,
        ),
        Stage(
            "bag",
            "luban.tasks.bag:bag",
            "luban.tasks.settings:BagSettings",
            ("data",),
            optional=("eval",),
        ),
        Stage(
            "evaluate",
            "luban.tasks.score:score",
            "luban.tasks.settings:ScoreSettings",
            ("model", "data"),
        ),
        Stage(
            "golden",
            "luban.tasks.golden:golden",
            "luban.tasks.settings:GoldenSettings",
            ("model",),
        ),
    )
}
