"""When a run's checkpoints are written, and what happens when the disk says no.

The training thread waits only until the tensors are copied: an accelerator's to buffers in this
machine's memory, which are used again; the CPU's to the files, of which the system keeps the pages until
they are on the disk, so that they cost the process no memory. A thread sums up, flushes and renames.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Literal

import torch
from torch import Tensor, nn

from luban.config import resolved
from luban.device import host_copy, is_on_host, synchronize
from luban.errors import CheckpointError, ConfigError, DiskError
from luban.files import disk_errors, read_json
from luban.log import Log
from luban.optim.averaging import COUNT, Average
from luban.stages import WITHOUT_EFFECT
from luban.train.checkpoint import (
    AVERAGE,
    MODEL,
    OPTIMIZER,
    STATE,
    Draft,
    Files,
    best_folder,
    learning_tensors,
    load_optimizer,
    load_weights,
    newest_checkpoint,
    optimizer_tensors,
    prune_checkpoints,
    read_tensors,
    save_checkpoint,
    step_folder,
)
from luban.train.precision import Precision
from luban.train.settings import TrainSettings

Kind = Literal["best", "step"]


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
    compiled: bool | None = None
    """Whether blocks were found worth compiling; None: not tried yet."""
    native: bool | None = None
    """Whether operators go through native kernels; None: not decided yet."""
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

    @classmethod
    def read(cls, folder: Path) -> RunState:
        """Return what a checkpoint holds."""
        try:
            return cls(**read_json(folder / STATE))
        except TypeError as e:
            raise CheckpointError(
                f"{folder / STATE} is not a run's state: {e}", fix="choose another --out"
            ) from None


class Saver:
    """Writes the checkpoints of one run below `root`. A full disk is a warning, and tried again later.

    One checkpoint to go on from and one of the best weights may be on their way to the disk at a time.
    """

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
        self._keep_last = 2
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="saver")
        self._jobs: deque[tuple[Kind, Future[str]]] = deque()
        self._buffers: dict[tuple[Kind, str, str], Tensor] = {}
        self._unsaved_best: dict[str, Tensor] | None = None
        """The best weights, only while the disk does not take them; the thread's own."""
        self.saved_step = 0
        """The newest step that is on the disk."""

    def __enter__(self) -> Saver:
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self.wait()
        finally:
            self._thread.shutdown()

    def wait(self) -> None:
        """Wait until what was asked for is on the disk, and warn of what is not."""
        self._settle("best", "step")

    def resume(self, settings: TrainSettings) -> RunState:
        """Load the newest whole checkpoint into model and optimizer; without one, start anew.

        One of other settings is refused, unless `settings.on_change` says to go on or to start over.
        """
        self._keep_last = settings.keep_last
        now = resolved(settings)
        _check_writable(self._root)
        folder = newest_checkpoint(self._root, self._log)
        if folder is None:
            return RunState(now)
        state = RunState.read(folder)
        before = state.settings
        changes = changed_settings(before, now)
        if changes and settings.on_change == "restart":
            self._log.warn(f"starting over, under other settings than {folder}: {', '.join(changes)}")
            prune_checkpoints(self._root, 0)
            return RunState(now)
        if changes:
            _check_may_continue(settings, folder, changes)
            self._log.warn(f"going on under other settings than {folder}: {', '.join(changes)}")
            state.stopped = "steps" if state.step >= settings.steps else ""
        state.settings = now
        self._load(folder, state, before)
        self.saved_step = state.step
        self._log.say(f"going on after step {state.step}, from {folder.name}", step=state.step)
        return state

    def save_best(self, state: RunState) -> None:
        """Keep the model's weights as the best so far."""
        self._settle("best")
        files = {MODEL: learning_tensors(self._model)}
        try:
            pending = self._take("best", best_folder(self._root, state.best["step"]), files, state.best)
        except DiskError as e:
            weights = {name: t.detach().clone() for name, t in files[MODEL].items()}
            self._start("best", partial(self._keep_in_memory, weights, e))
        else:
            self._start("best", partial(self._finish_best, pending))

    def save(self, state: RunState) -> None:
        """Write a checkpoint to go on from, and remove those it makes superfluous."""
        self._settle("step")
        state.scale, state.n_sound = self.precision.scale, self.precision.n_sound
        files = {
            MODEL: learning_tensors(self._model),
            OPTIMIZER: optimizer_tensors(self._model, self._optimizer),
        }
        if self._average:
            files[AVERAGE] = self._average.tensors()
        try:
            pending = self._take("step", step_folder(self._root, state.step), files, asdict(state))
        except DiskError as e:
            self._log.warn(_not_saved(state.step, e), step=state.step)
        else:
            self._start("step", partial(self._finish_step, pending))

    @torch.no_grad()
    def restore_best(self, state: RunState) -> None:
        """Put the best weights into the model."""
        self.wait()
        if self._unsaved_best is None:
            load_weights(best_folder(self._root, state.best["step"]), self._model)
            return
        for name, tensor in learning_tensors(self._model).items():
            tensor.copy_(self._unsaved_best[name])

    def _load(self, folder: Path, state: RunState, before: Mapping[str, Any]) -> None:
        """Load what a checkpoint holds; what belongs to a setting that has changed starts anew."""
        now = state.settings
        load_weights(folder, self._model)
        if before["optimizer"] == now["optimizer"]:
            load_optimizer(folder, self._model, self._optimizer)
        if before["precision"] == now["precision"]:
            self.precision.scale, self.precision.n_sound = state.scale, state.n_sound
        if self._average and (folder / AVERAGE).exists():
            self._average.load(read_tensors(folder / AVERAGE))
        elif self._average:
            self._average.load(learning_tensors(self._model) | {COUNT: torch.tensor(0)})

    def _take(self, kind: Kind, folder: Path, files: Files, state: Mapping[str, Any]) -> _Pending:
        """Copy what is to be saved, so that training may go on."""
        draft = Draft(folder)
        if all(is_on_host(t) for tensors in files.values() for t in tensors.values()):
            try:
                draft.write(files, state)
            except BaseException:
                draft.drop()
                raise
            return _Pending(draft, dict(state))
        copies = {
            file: {name: self._copy((kind, file, name), t) for name, t in tensors.items()}
            for file, tensors in files.items()
        }
        synchronize(next(self._model.parameters()).device)
        return _Pending(draft, dict(state), copies)

    def _copy(self, key: tuple[Kind, str, str], tensor: Tensor) -> Tensor:
        self._buffers[key] = host_copy(tensor, self._buffers.get(key))
        return self._buffers[key]

    def _start(self, kind: Kind, work: Callable[[], str]) -> None:
        self._jobs.append((kind, self._thread.submit(work)))

    def _settle(self, *kinds: Kind) -> None:
        """Wait for earlier jobs of these kinds, and pass on the warnings of all that are done."""
        while self._jobs and (self._jobs[0][1].done() or any(kind in kinds for kind, _ in self._jobs)):
            _, job = self._jobs.popleft()
            if warning := job.result():
                self._log.warn(warning)

    # What follows runs in the thread, one job after the other; each returns a warning, or nothing.

    def _finish_best(self, pending: _Pending) -> str:
        try:
            pending.finish()
        except DiskError as e:
            return self._keep_in_memory(pending.weights(), e)
        finally:
            pending.draft.drop()
        self._unsaved_best = None
        return ""

    def _keep_in_memory(self, weights: dict[str, Tensor], error: DiskError) -> str:
        self._unsaved_best = weights
        return f"best weights not saved: {error.problem}; they stay in memory, training goes on"

    def _finish_step(self, pending: _Pending) -> str:
        step, best = pending.state["step"], pending.state["best"]
        try:
            if self._unsaved_best is not None:
                save_checkpoint(best_folder(self._root, best["step"]), {MODEL: self._unsaved_best}, best)
                self._unsaved_best = None
            pending.finish()
        except DiskError as e:
            return _not_saved(step, e)
        finally:
            pending.draft.drop()
        self.saved_step = step
        try:
            prune_checkpoints(self._root, self._keep_last)
        except DiskError as e:
            return f"older checkpoints not removed: {e.problem}; training goes on"
        return ""


@dataclass(frozen=True, slots=True)
class _Pending:
    """A checkpoint that is copied, but not yet on the disk."""

    draft: Draft
    state: dict[str, Any]
    copies: Files | None = None
    """None: its files are written, though not flushed."""

    def finish(self) -> None:
        if self.copies is not None:
            self.draft.write(self.copies, self.state)
        self.draft.publish()

    def weights(self) -> dict[str, Tensor]:
        if self.copies is None:
            is_named = not self.draft.place.exists()  # it was the last flush that failed
            return read_tensors((self.draft.folder if is_named else self.draft.place) / MODEL)
        return {name: t.clone() for name, t in self.copies[MODEL].items()}


def changed_settings(before: Mapping[str, Any], now: Mapping[str, Any], under: str = "") -> list[str]:
    """Return "name = old value, now new value" for every setting that differs."""
    found = []
    for name in sorted(before.keys() | now.keys()):
        old, new = before.get(name), now.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            found += changed_settings(old, new, f"{under}{name}.")
        elif old != new and name not in WITHOUT_EFFECT:
            found.append(f"{under}{name} = {old}, now {new}")
    return found


def _check_may_continue(settings: TrainSettings, folder: Path, changes: list[str]) -> None:
    if settings.on_change == "refuse":
        raise ConfigError(
            f"{folder} was made with other settings: {', '.join(changes)}",
            fix="set them back, choose another --out, or set on_change to continue or restart",
        )


def _check_writable(root: Path) -> None:
    """Raise before the first step what would otherwise cost hours."""
    with disk_errors(root):
        root.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=root).close()


def _not_saved(step: int, error: DiskError) -> str:
    return f"no checkpoint at step {step}: {error.problem}; training goes on"
