"""Which windows a pre-training run reads: of one shards folder as they are, or mixed from several."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from luban.data.batches import PackedWindows, Windows
from luban.data.mixture import MixedWindows
from luban.data.mixture_settings import MixtureSettings
from luban.data.verify import verify_shards
from luban.errors import DataError
from luban.files import Manifest
from luban.log import Log
from luban.tasks.settings import PretrainSettings

INPUT = "shards"
MOST_VERIFIED = 1 << 30
"""Bytes of shards that are read through before a run: a second or two. More are read as they come."""


def shard_folders(inputs: Mapping[str, Path]) -> list[Path]:
    """Return the shards folders among a stage's inputs: "shards", "shards:2", ..."""
    return [path for name, path in inputs.items() if name.partition(":")[0] == INPUT]


def verify_folders(folders: list[Path], log: Log) -> None:
    """Refuse shards that are not what was written; say how to check them where that takes long."""
    size = sum(path.stat().st_size for folder in folders for path in folder.iterdir() if path.is_file())
    if size <= MOST_VERIFIED:
        for folder in folders:
            verify_shards(folder)
        return
    checks = "; ".join(f"luban data describe {folder} --verify" for folder in folders)
    log.say(f"  {size / 1e9:.1f} GB of shards are not verified first; to do so: {checks}")


def training_windows(folders: list[Path], settings: PretrainSettings) -> Windows:
    """Open the train split, mixed as the settings say."""
    if len(folders) == 1 and settings.mixture.is_plain:
        return PackedWindows(folders[0] / "train", **_sizes(settings))
    return MixedWindows(folders, "train", settings.mixture, **_sizes(settings))


def validation_windows(folders: list[Path], settings: PretrainSettings) -> Windows:
    """Open the validation split of every folder that has one, each window once."""
    having = [f for f in folders if (f / "validation.json").is_file()]
    if len(folders) == 1 or not having:
        return PackedWindows(folders[0] / "validation", **_sizes(settings))
    sizes = _sizes(settings) | {"batch_size": settings.batch_size, "n_micro_batches": 1}
    try:
        return MixedWindows(having, "validation", MixtureSettings(), **sizes)
    except DataError:  # too little text for one batch is enough to validate on
        return MixedWindows(having, "validation", MixtureSettings(), **(sizes | {"batch_size": 1}))


def say_mixture(windows: Windows, settings: PretrainSettings, log: Log) -> dict[str, Any]:
    """Say how much of each part a run reads, warn of what is left out or repeated; return the facts."""
    if not isinstance(windows, MixedWindows):
        return {}
    reads = windows.reads(settings.steps)
    for row in reads:
        log.say(
            f"  {row.name}: {row.share:.1%} of the windows, {row.epochs:.2f} epochs of {row.tokens:,} tokens",
            part=row.name,
            share=row.share,
            epochs=row.epochs,
        )
    for row in reads:
        if not row.windows:
            log.warn(f"{row.name} is left out: its {row.tokens:,} tokens do not fill one window")
        if row.epochs > settings.mixture.max_epochs:
            log.warn(
                f"{row.name} is read {row.epochs:.1f} times; mixture.max_epochs is "
                f"{settings.mixture.max_epochs:g}: give it more text, or less weight"
            )
    return {
        "mixture": {
            row.name: {"tokens": row.tokens, "share": round(row.share, 6), "epochs": round(row.epochs, 4)}
            for row in reads
        }
    }


def facts_of_shards(folders: list[Path]) -> dict[str, Any]:
    """Return what the manifests of the shards say; of several folders, by path."""
    made_by = [(folder, Manifest.read(folder)) for folder in folders]
    facts = {str(folder): manifest.facts if manifest else {} for folder, manifest in made_by}
    return next(iter(facts.values())) if len(folders) == 1 else facts


def _sizes(settings: PretrainSettings) -> dict[str, int]:
    return {
        "context": settings.context,
        "batch_size": settings.batch_size,
        "seed": settings.seed,
        "n_micro_batches": settings.n_micro_batches,
    }
