"""The training runs below a folder: finished ones, and those that were stopped or still go on."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from statistics import median
from typing import Any

from luban.errors import DataError
from luban.files import MANIFEST, Manifest
from luban.records import LOWER_IS_BETTER
from luban.report.chain import StageRun, read_stages
from luban.report.reading import Part, read_rows
from luban.report.training import METRICS, TRAIN, Training, read_training

UNFINISHED = "unfinished.json"
PARTIAL = ".partial-"
MAX_DEPTH = 4
"""Folders below the one asked for that are searched."""


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """One run, as far as it got. `best` holds the score that decides, if there was a look."""

    training: Training
    done: bool
    step: int
    n_steps: int
    best: tuple[str, float] | None

    @property
    def name(self) -> str:
        """Name of the folder that it fills in the end."""
        return self.training.stage.name

    @property
    def state(self) -> str:
        """How it ended: done, stopped early, or not yet (unfinished)."""
        if not self.done:
            return "unfinished"
        return "stopped early" if self.step < self.n_steps else "done"

    @property
    def progress(self) -> str:
        """How far it got: 300, or 40 of 300."""
        return f"{self.step:,} of {self.n_steps:,}" if self.step < self.n_steps else f"{self.step:,}"

    def plain(self) -> dict[str, Any]:
        """Return what a program wants to know."""
        training = self.training
        return {
            "name": self.name,
            "folder": str(training.stage.folder),
            "task": training.stage.use,
            "family": training.family,
            "done": self.done,
            "step": self.step,
            "steps": self.n_steps,
            "score": self.best[0] if self.best else None,
            "best": self.best[1] if self.best else None,
            "tokens_per_second": training.tokens_per_second,
            "started": training.stage.started,
            "warnings": list(training.warnings),
        }


def find_runs(folder: Path) -> list[TrainingRun]:
    """Return the training runs at and below a folder, the newest first."""
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder", fix="name the folder that runs were written to")
    found = [run for path in _candidates(folder) if (run := _read(path))]
    return sorted(found, key=lambda run: run.training.stage.started, reverse=True)


def read_run(folder: Path) -> TrainingRun:
    """Return the run that fills or filled a folder; the newest partial one where it is not finished."""
    partials = sorted(folder.parent.glob(f"{folder.name}{PARTIAL}*"), key=lambda p: p.stat().st_mtime)
    for path in [folder, *reversed(partials)]:
        if path.is_dir() and (run := _read(path)):
            return run
    below = [str(run.training.stage.folder) for run in find_runs(folder)] if folder.is_dir() else []
    raise DataError(
        f"{folder} is no training run",
        fix=f"name one of {', '.join(below)}" if below else "`luban runs` lists the runs",
    )


def _candidates(folder: Path) -> Iterator[Path]:
    """Yield folders that a stage filled or is filling; nothing inside those is searched."""
    for path, names, files in os.walk(folder):
        here = Path(path)
        if MANIFEST in files or UNFINISHED in files:
            yield here
        is_deep = len(here.relative_to(folder).parts) >= MAX_DEPTH
        is_stage = MANIFEST in files or UNFINISHED in files
        names[:] = [] if is_deep or is_stage else sorted(n for n in names if not n.startswith("."))


def _read(folder: Path) -> TrainingRun | None:
    stage = _finished(folder) if (folder / MANIFEST).is_file() else _unfinished(folder)
    if stage is None or stage.use not in TRAIN:
        return None
    training = read_training(stage, [])
    done = (folder / MANIFEST).is_file()
    last = int(max([x for x, _ in training.loss], default=0))
    step = int(training.counts.get("steps", last)) if done else last
    planned = stage.settings.get("steps")
    n_steps = planned if isinstance(planned, int) and planned > 0 else step
    return TrainingRun(training, done, step, n_steps, _best(training, stage.settings, done))


def _finished(folder: Path) -> StageRun | None:
    if Manifest.read(folder) is None:
        return None
    (stage,) = read_stages(folder, [])
    return stage


def _unfinished(folder: Path) -> StageRun | None:
    path = folder / UNFINISHED
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    about = Part(data if isinstance(data, dict) else {}, UNFINISHED, [])
    began = datetime.fromtimestamp(path.stat().st_mtime, timezone.utc)
    return StageRun(
        name=folder.name.partition(PARTIAL)[0],
        use=about.text("stage"),
        folder=folder,
        key="",
        seconds=0.0,
        started=began.isoformat(timespec="seconds"),
        settings=about.part("settings").data,
        command=(),
        versions={},
        sources=(),
        facts=Part({"tokens_per_second": _speed(folder)}, folder.name, []),
    )


def _speed(folder: Path) -> float | None:
    """Return the median speed of the last steps that an unfinished run wrote down."""
    found = [row.number("tokens_per_second") for row in read_rows(folder / METRICS, METRICS, [])]
    return median(v for v in found[-100:] if v is not None) if any(found[-100:]) else None


def _best(training: Training, settings: Mapping[str, Any], done: bool) -> tuple[str, float] | None:
    """Return the score that decides and its best value: a finished run says it, else the looks do."""
    looks = [training.best] if done and training.best.values else list(training.looks)
    names = [name for look in looks[:1] for name in look.values if name != "step"]
    if not names:
        return None
    wanted = settings.get("best_by")
    name = str(wanted) if wanted in names else names[0]
    values = [look.values[name] for look in looks if name in look.values]
    return name, min(values) if name in LOWER_IS_BETTER else max(values)
