"""Where curves go beside metrics.jsonl: TensorBoard, trackio, Weights & Biases. All write to this machine."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from luban.errors import ConfigError
from luban.log import Log
from luban.train.event_file import EventFile
from luban.train.settings import TrainSettings

PROJECT = "luban"
CURVES = (
    "loss", "lr", "grad_norm", "padding", "tokens_per_second", "matmul_share", "memory_bytes", "wait_share"
)  # fmt: skip
"""Of a step's row, what is drawn."""


class Tracker(Protocol):
    """Takes the rows of metrics.jsonl, one by one."""

    def write(self, row: dict[str, Any]) -> None:
        """Draw what of a row can be drawn."""

    def close(self) -> None:
        """Write out what still waits."""


@dataclass(frozen=True, slots=True)
class Tracked:
    """The run that is drawn: its folder while it goes on, its settings, and where it starts from."""

    out: Path
    settings: TrainSettings
    last_step: int = -1
    """Step of the checkpoint it goes on from; -1: a new run."""

    @property
    def name(self) -> str:
        """Name of the folder that the run will have when it is finished."""
        return self.out.name.partition(".partial-")[0]


def open_trackers(run: Tracked, log: Log) -> list[Tracker]:
    """Open what settings.trackers names; a package that is missing is an error before training starts.

    TensorBoard is on by itself, so that its absence is only said.
    """
    opened = [OPEN[name](run, log) for name in run.settings.trackers]
    return [tracker for tracker in opened if tracker]


def curve_values(row: dict[str, Any]) -> dict[str, float]:
    """Return what of a row can be drawn, by the name of its curve.

    curve_values({"step": 3, "loss": 2.5, "n_targets": 8}) -> {"train/loss": 2.5}
    """
    values = {f"train/{key}": row[key] for key in CURVES if key in row}
    return values | {f"validation/{name}": score for name, score in row.get("validation", {}).items()}


@dataclass(frozen=True, slots=True)
class TensorBoard:
    """Event files in the run's own folder; `tensorboard --logdir` draws them."""

    file: EventFile

    def write(self, row: dict[str, Any]) -> None:
        """Add a row's values, or its text; of a disk that refuses them metrics.jsonl warns."""
        if "sample" in row:
            sample = row["sample"]
            self.file.add_text("sample", f"**{sample['prompt']}**{sample['text']}", row["step"])
        for name, value in curve_values(row).items():
            self.file.add_scalar(name, value, row["step"])
        self.file.write()

    def close(self) -> None:
        """Write out what still waits."""
        self.file.close()


@dataclass(frozen=True, slots=True)
class Logged:
    """A run of trackio or wandb: both take `log(values, step=...)` and `finish()`."""

    run: Any

    def write(self, row: dict[str, Any]) -> None:
        """Log a row's values."""
        if values := curve_values(row):
            self.run.log(values, step=row["step"])

    def close(self) -> None:
        """Write out what still waits."""
        with _stdout_kept_clean():
            self.run.finish()


def _open_tensorboard(run: Tracked, log: Log) -> Tracker | None:
    try:
        return TensorBoard(EventFile(run.out, run.last_step + 1 if run.last_step > 0 else None))
    except ImportError:
        log.say("no TensorBoard files: pip install 'luban[track]' to have them; metrics.jsonl has the same")
        return None


def _open_trackio(run: Tracked, log: Log) -> Tracker:
    """Write to trackio's own database on this machine; `trackio show` draws it."""
    trackio = _load("trackio")
    with _stdout_kept_clean():
        trackio.init(
            project=PROJECT,
            name=run.name,
            config=asdict(run.settings),
            resume="allow",
            embed=False,
            auto_log_gpu=False,
        )
    return Logged(trackio)  # whose own finish() leaves nothing to say at exit


def _open_wandb(run: Tracked, log: Log) -> Tracker:
    """Write a folder `wandb` beside the run. Nothing is sent unless WANDB_MODE=online asks for it."""
    mode = os.environ.setdefault("WANDB_MODE", "offline")  # before the import, which asks a server else
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    wandb = _load("wandb")
    if mode == "offline":
        kept = run.out.parent / "wandb"
        log.say(f"wandb keeps the run on this machine; to send it: wandb sync {kept}/offline-run-*")
    quiet = wandb.Settings(
        console="off", silent=True, disable_git=True, save_code=False, disable_job_creation=True
    )
    with _stdout_kept_clean():
        made = wandb.init(
            project=PROJECT,
            name=run.name,
            id=run.out.name.replace(".partial-", "-"),
            resume="allow",
            dir=str(run.out.parent),  # not inside: its links would make the finished folder look incomplete
            mode=mode,
            config=asdict(run.settings),
            settings=quiet,
        )
    return Logged(made)


OPEN: dict[str, Callable[[Tracked, Log], Tracker | None]] = {
    "tensorboard": _open_tensorboard,
    "trackio": _open_trackio,
    "wandb": _open_wandb,
}


def _load(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError:
        raise ConfigError(
            f"trackers has {package}, which is not installed",
            fix=f"pip install {package}, or take it out of trackers",
        ) from None


@contextlib.contextmanager
def _stdout_kept_clean() -> Iterator[None]:
    """Send what a package prints to stderr: stdout is for programs."""
    with contextlib.redirect_stdout(sys.stderr):
        yield
