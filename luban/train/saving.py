"""When a run's checkpoints are written, and what happens when the disk says no."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from luban.config import resolved
from luban.errors import ConfigError, DiskError
from luban.files import read_json
from luban.log import Log
from luban.optim.averaging import Average
from luban.train.checkpoint import (
    STATE,
    best_folder,
    load_optimizer,
    load_weights,
    model_tensors,
    newest_checkpoint,
    optimizer_tensors,
    prune_checkpoints,
    save_checkpoint,
    step_folder,
)
from luban.train.precision import Precision
from luban.train.settings import TrainSettings


@dataclass
class RunState:
    """What a run knows beside weights; every checkpoint holds it."""

    settings: dict[str, Any]
    step: int = 0
    n_tokens: int = 0
    n_positions: int = 0
    seconds: float = 0.0
    wait_seconds: float = 0.0
    n_skipped: int = 0
    """Steps that had no finite gradient."""
    lr_factor: float = 1.0
    """What a plateau has made of the learning rate."""
    scale: float = 1.0
    n_sound: int = 0
    """The precision's state."""
    first: dict[str, Any] = field(default_factory=dict)
    """Scores before the first step; empty until they are known."""
    last: dict[str, Any] = field(default_factory=dict)
    best: dict[str, Any] = field(default_factory=dict)
    looks_since_best: int = 0
    looks_since_drop: int = 0
    stopped: str = ""
    """Why the run is over: "steps" or "patience"; empty while it is not."""


class Saver:
    """Writes the checkpoints of one run below `root`. A full disk is a warning, and tried again later."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        average: Average | None,
        precision: Precision,
        root: Path,
        log: Log,
    ):
        self._model, self._optimizer, self._root, self._log = model, optimizer, root, log
        self._average, self.precision = average, precision
        self._unsaved_best: dict[str, Tensor] | None = None
        """The best weights, only while the disk does not take them."""
        self.saved_step = 0

    def __enter__(self) -> Saver:
        return self

    def __exit__(self, *error: object) -> None:
        self.wait()

    def wait(self) -> None:
        """Wait until what was asked for is on the disk."""

    def resume(self, settings: TrainSettings) -> RunState:
        """Load the newest whole checkpoint into model and optimizer; without one, start anew."""
        folder = newest_checkpoint(self._root, self._log)
        if folder is None:
            return RunState(resolved(settings))
        state = RunState(**read_json(folder / STATE))
        _refuse_other_settings(state.settings, resolved(settings), folder)
        load_weights(folder, self._model)
        load_optimizer(folder, self._model, self._optimizer)
        self.saved_step = state.step
        self._log.say(f"going on after step {state.step}, from {folder.name}", step=state.step)
        return state

    def save_best(self, state: RunState) -> None:
        """Keep the model's weights as the best so far."""
        folder = best_folder(self._root, state.best["step"])
        self._unsaved_best = None
        try:
            save_checkpoint(folder, model_tensors(self._model), state.best)
        except DiskError as e:
            self._log.warn(f"best weights not saved: {e.problem}; they stay in memory, training goes on")
            self._unsaved_best = {k: t.detach().clone() for k, t in model_tensors(self._model).items()}

    def save(self, state: RunState) -> None:
        """Write a checkpoint to go on from, and remove those it makes superfluous."""
        try:
            if self._unsaved_best is not None:
                save_checkpoint(best_folder(self._root, state.best["step"]), self._unsaved_best, state.best)
                self._unsaved_best = None
            save_checkpoint(
                step_folder(self._root, state.step),
                model_tensors(self._model),
                asdict(state),
                optimizer_tensors(self._model, self._optimizer),
            )
        except DiskError as e:
            self._log.warn(
                f"no checkpoint at step {state.step}: {e.problem}; training goes on", step=state.step
            )
            return
        self.saved_step = state.step
        prune_checkpoints(self._root)

    @torch.no_grad()
    def restore_best(self, state: RunState) -> None:
        """Put the best weights into the model."""
        if self._unsaved_best is None:
            load_weights(best_folder(self._root, state.best["step"]), self._model)
            return
        for name, tensor in model_tensors(self._model).items():
            tensor.copy_(self._unsaved_best[name])


def _refuse_other_settings(before: dict[str, Any], now: dict[str, Any], folder: Path) -> None:
    changed = [k for k in sorted(before.keys() | now.keys()) if before.get(k) != now.get(k)]
    if changed:
        raise ConfigError(
            f"{folder} was made with other settings: "
            + ", ".join(f"{k} = {before.get(k)}, now {now.get(k)}" for k in changed),
            fix="set them back, choose another --out, or remove the checkpoints to start anew",
        )
