"""Checkpoints of a run with several processes: the first saves for all, or each saves its part."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from luban.errors import CheckpointError, DiskError
from luban.files import disk_errors, read_json
from luban.log import Log
from luban.optim.averaging import COUNT
from luban.train.checkpoint import (
    AVERAGE,
    MODEL,
    OPTIMIZER,
    STATE,
    Draft,
    Files,
    best_folder,
    learning_tensors,
    optimizer_tensors,
    prune_checkpoints,
    read_tensors,
    save_checkpoint,
    step_folder,
    verify_checkpoint,
)
from luban.train.parallel import is_spread, send_out
from luban.train.ranks import Ranks
from luban.train.saving import RunState, Saver
from luban.train.settings import TrainSettings
from luban.train.sharded import SHARDS, Kind, list_shards, load_shards, put, read_shards, save_shards

FILES = (MODEL, OPTIMIZER, AVERAGE)


def choose_saver(ranks: Ranks, *arguments: Any) -> Saver:
    """Return who keeps the checkpoints; `arguments` are Saver's."""
    if ranks.mesh is None:
        return WholeSaver(*arguments)
    return ShardSaver(*arguments, ranks) if is_spread(arguments[0]) else FirstSaver(*arguments, ranks)


class WholeSaver(Saver):
    """Goes on from what several processes have saved in parts, too."""

    def resume(self, settings: TrainSettings) -> RunState:
        """Load the newest whole checkpoint; see Saver."""
        make_whole(self._root, self._log)
        return super().resume(settings)


class FirstSaver(WholeSaver):
    """Every process holds all: the first one saves and loads, and sends the others what it has read.

    They need not share a disk.
    """

    def __init__(self, *arguments: Any):
        super().__init__(*arguments[:-1])
        self._ranks: Ranks = arguments[-1]

    def resume(self, settings: TrainSettings) -> RunState:
        """Let the first process load, and take over what it has."""
        state = super().resume(settings) if self._ranks.is_first else RunState({})
        tensors = optimizer_tensors(self._model, self._optimizer)
        told = self._ranks.share(
            {
                "state": asdict(state),
                "saved_step": self.saved_step,
                "precision": [self.precision.scale, self.precision.n_sound],
                "optimizer": [[name, list(t.shape), str(t.dtype)[6:]] for name, t in tensors.items()],
                "count": int(self._average.tensors()[COUNT]) if self._average else 0,
            }
        )
        self.saved_step, (self.precision.scale, self.precision.n_sound) = (
            told["saved_step"],
            told["precision"],
        )
        kinds = {name: Kind(tuple(shape), getattr(torch, dtype)) for name, shape, dtype in told["optimizer"]}
        self._make_state(kinds)
        send_out([*learning_tensors(self._model).values()], self._ranks)
        send_out([*optimizer_tensors(self._model, self._optimizer).values()], self._ranks)
        if self._average:
            means = {k: t for k, t in self._average.tensors().items() if k != COUNT}
            send_out([*means.values()], self._ranks)
            self._average.load({**means, COUNT: torch.tensor(told["count"])})
        return state if self._ranks.is_first else RunState(**told["state"])

    def save_best(self, state: RunState) -> None:
        """Keep the model's weights as the best so far."""
        if self._ranks.is_first:
            super().save_best(state)

    def save(self, state: RunState) -> None:
        """Write a checkpoint to go on from."""
        if self._ranks.is_first:
            super().save(state)

    def restore_best(self, state: RunState) -> None:
        """Put the best weights into every process's model."""
        if self._ranks.is_first:
            super().restore_best(state)
        send_out([*learning_tensors(self._model).values()], self._ranks)

    def _make_state(self, kinds: Mapping[str, Kind]) -> None:
        make_state(self._model, self._optimizer, kinds)


class ShardSaver(FirstSaver):
    """Every process holds a part, and saves and loads it; all must reach the first one's folder.

    Parts are written in a thread, by a group of processes of its own.
    """

    def resume(self, settings: TrainSettings) -> RunState:
        """Find the newest whole checkpoint, and let every process load its part."""
        import torch.distributed as dist

        wait = timedelta(seconds=settings.parallel.timeout_seconds)
        self._group = dist.new_group(backend="gloo", timeout=wait)
        self._found: tuple[str, dict[str, Any]] | None = None
        state = Saver.resume(self, settings) if self._ranks.is_first else RunState({})
        told = self._ranks.share(
            {
                "state": asdict(state),
                "saved_step": self.saved_step,
                "root": str(self._root.absolute()),
                "found": self._found,
                "keep_last": self._keep_last,
            }
        )
        state = RunState(**told["state"])
        self._root = Path(told["root"])
        self.saved_step, self._keep_last = told["saved_step"], told["keep_last"]
        if told["found"]:
            folder, before = told["found"]
            self._read(Path(folder), state, before)
        return state

    def save_best(self, state: RunState) -> None:
        """Keep the model's weights as the best so far."""
        self._settle("best")
        tensors = _copies({MODEL: learning_tensors(self._model)})
        folder = best_folder(self._root, state.best["step"])
        self._start("best", partial(self._keep_best, folder, tensors, dict(state.best)))

    def save(self, state: RunState) -> None:
        """Write a checkpoint to go on from, and remove those it makes superfluous."""
        self._settle("step")
        state.scale, state.n_sound = self.precision.scale, self.precision.n_sound
        tensors = _copies(self._files(with_average=True))
        self._start("step", partial(self._keep_step, tensors, asdict(state)))

    @torch.no_grad()
    def restore_best(self, state: RunState) -> None:
        """Put the best weights into the model."""
        self.wait()
        targets = {f"{MODEL}/{k}": t for k, t in learning_tensors(self._model).items()}
        if self._unsaved_best is None:
            fill(best_folder(self._root, state.best["step"]), targets)
            return
        for name, tensor in targets.items():
            tensor.copy_(self._unsaved_best[name])

    def _load(self, folder: Path, state: RunState, before: Mapping[str, Any]) -> None:
        self._found = str(folder.absolute()), dict(before)

    def _files(self, *, with_average: bool) -> Files:
        files: dict[str, Mapping[str, Tensor]] = {
            MODEL: learning_tensors(self._model),
            OPTIMIZER: optimizer_tensors(self._model, self._optimizer),
        }
        if self._average and with_average:
            files[AVERAGE] = self._average.tensors()
        return files

    def _read(self, folder: Path, state: RunState, before: Mapping[str, Any]) -> None:
        """Load what a checkpoint holds; what belongs to a setting that has changed starts anew."""
        now, kinds = state.settings, list_kinds(folder)
        if before["precision"] == now["precision"]:
            self.precision.scale, self.precision.n_sound = state.scale, state.n_sound
        files: dict[str, Mapping[str, Tensor]] = {MODEL: learning_tensors(self._model)}
        if before["optimizer"] == now["optimizer"]:
            cut = len(OPTIMIZER) + 1
            self._make_state({k[cut:]: kind for k, kind in kinds.items() if k.startswith(f"{OPTIMIZER}/")})
            files[OPTIMIZER] = optimizer_tensors(self._model, self._optimizer)
        has_average = any(name.startswith(f"{AVERAGE}/") for name in kinds)
        average = self._average.tensors() if self._average else {}
        if average and has_average:
            files[AVERAGE] = average
        fill(folder, _flat(files))
        if self._average:
            start = average if has_average else learning_tensors(self._model) | {COUNT: torch.tensor(0)}
            self._average.load(start)

    # What follows runs in the thread, in every process, one job after the other.

    def _keep_best(self, folder: Path, tensors: dict[str, Tensor], state: dict[str, Any]) -> str:
        problem = self._write(folder, tensors, state)
        self._unsaved_best = tensors if problem else None
        return problem and f"best weights not saved: {problem}; they stay in memory, training goes on"

    def _keep_step(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> str:
        step, best = state["step"], state["best"]
        problem = ""
        if self._unsaved_best is not None:
            problem = self._write(best_folder(self._root, best["step"]), self._unsaved_best, best)
            self._unsaved_best = self._unsaved_best if problem else None
        problem = problem or self._write(step_folder(self._root, step), tensors, state)
        if problem:
            return f"no checkpoint at step {step}: {problem}; training goes on"
        self.saved_step = step
        try:
            if self._ranks.is_first:
                prune_checkpoints(self._root, self._keep_last)
        except DiskError as e:
            return f"older checkpoints not removed: {e.problem}; training goes on"
        return ""

    def _write(self, folder: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> str:
        """Write all parts, then let the first process give the folder its name; return what failed."""
        draft, is_first = Draft(folder), self._ranks.is_first
        parts = draft.place.absolute() / SHARDS

        def begin() -> None:
            draft.write({}, state)
            parts.mkdir()

        problem = self._agree(begin if is_first else None)
        problem = problem or self._agree(lambda: save_shards(parts, tensors, self._group))
        problem = problem or self._agree(draft.publish if is_first else None)
        if is_first:
            draft.drop()
        return problem

    def _agree(self, work: Callable[[], None] | None) -> str:
        """Do a piece of work where there is some; return what went wrong in any process."""
        import torch.distributed as dist

        problem = ""
        try:
            if work:
                work()
        except (DiskError, CheckpointError) as e:
            problem = e.problem
        failed = torch.tensor(int(bool(problem)))
        dist.all_reduce(failed, dist.ReduceOp.MAX, group=self._group)
        return problem or ("another process could not write" if failed else "")


def make_state(model: torch.nn.Module, optimizer: torch.optim.Optimizer, kinds: Mapping[str, Kind]) -> None:
    """Give the optimizer empty state of these kinds, spread as its parameters are, to be filled."""
    parameters = dict(model.named_parameters())
    for full_name, kind in kinds.items():
        name, _, key = full_name.rpartition("/")
        if name not in parameters:
            raise _other_model(full_name)
        p = parameters[name]
        is_alike = kind.shape == tuple(p.shape)
        empty = (
            torch.zeros_like(p, dtype=kind.dtype) if is_alike else torch.zeros(kind.shape, dtype=kind.dtype)
        )
        optimizer.state[p].setdefault(key, empty.detach())


def list_kinds(folder: Path) -> dict[str, Kind]:
    """Return what a checkpoint holds, in parts or whole, as "file/name"."""
    if (folder / SHARDS).is_dir():
        return list_shards(folder / SHARDS)
    return {name: Kind(tuple(t.shape), t.dtype) for name, t in _read_whole(folder).items()}


def fill(folder: Path, targets: Mapping[str, Tensor]) -> None:
    """Fill tensors, however they are spread, from a checkpoint in parts or whole; all processes call it."""
    kinds = list_kinds(folder)
    model = {k for k in kinds if k.startswith(f"{MODEL}/")}
    wrong = sorted((targets.keys() - kinds.keys()) | (model - targets.keys()))
    if wrong:
        raise _other_model(wrong[0])
    if (folder / SHARDS).is_dir():
        load_shards(folder / SHARDS, targets)
        return
    for name, tensor in _read_whole(folder).items():
        if name in targets:
            put(targets[name], tensor)


def make_whole(root: Path, log: Log) -> None:
    """Turn every checkpoint below `root` that is in parts into one that a single process reads."""
    for folder in sorted(root.glob("*-*")):
        if not (folder / SHARDS).is_dir():
            continue
        try:
            verify_checkpoint(folder)
        except CheckpointError:
            continue  # whoever looks for the newest one will say so
        files: dict[str, dict[str, Tensor]] = {}
        for full_name, tensor in read_shards(folder / SHARDS).items():
            file, _, name = full_name.partition("/")
            files.setdefault(file, {})[name] = tensor
        if files.keys() - set(FILES):
            raise _other_model(next(iter(files.keys() - set(FILES))))
        save_checkpoint(folder, files, read_json(folder / STATE))
        log.say(f"{folder.name}: put together from the parts of several processes")


def _read_whole(folder: Path) -> dict[str, Tensor]:
    with disk_errors(folder):
        return _flat({file: read_tensors(folder / file) for file in FILES if (folder / file).exists()})


def _flat(files: Files) -> dict[str, Tensor]:
    return {f"{file}/{name}": t for file, tensors in files.items() for name, t in tensors.items()}


def _copies(files: Files) -> dict[str, Tensor]:
    return {name: t.detach().clone() for name, t in _flat(files).items()}


def _other_model(name: str) -> CheckpointError:
    return CheckpointError(
        f"the checkpoint is not this model's: {name} is only in one of them",
        fix="choose another --out, or remove the checkpoints of the other model",
    )
