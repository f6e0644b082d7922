"""Checkpoints: folders that are whole or absent, checked when read, never unpickled.

`step-0000050/` holds what learns, the optimizer's state, the running mean and what the run knew, to go
on from; `best-0000040/` holds the best weights. manifest.json lists every file with its size and
SHA-256. Folders are told apart by step alone: no clock has a say.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from luban import __version__
from luban.errors import CheckpointError
from luban.files import (
    MANIFEST,
    disk_errors,
    hash_json,
    hash_path,
    list_files,
    publish,
    read_json,
    write_json,
)
from luban.log import Log

MODEL, OPTIMIZER, AVERAGE = "model.safetensors", "optimizer.safetensors", "average.safetensors"
STATE = "state.json"
FORMAT = 2
"""Raised when a reader of the old format would misread the new one."""

Files = Mapping[str, Mapping[str, Tensor]]
"""File name → the tensors in it."""


class FormatError(CheckpointError):
    """A checkpoint was written by another version of Luban; it is left as it is."""


def step_folder(root: Path, step: int) -> Path:
    """Return the folder to go on from after `step`."""
    return root / f"step-{step:07d}"


def best_folder(root: Path, step: int) -> Path:
    """Return the folder of the weights that were best at `step`."""
    return root / f"best-{step:07d}"


def save_checkpoint(folder: Path, files: Files, state: Mapping[str, Any]) -> None:
    """Write a checkpoint under a temporary name, flush it to the disk, then give it its name."""
    draft = Draft(folder)
    try:
        draft.write(files, state)
        draft.publish()
    finally:
        draft.drop()


@dataclass(frozen=True, slots=True)
class Draft:
    """A checkpoint under a temporary name, which no reader sees."""

    folder: Path
    """What it will be."""

    @property
    def place(self) -> Path:
        """Where it is until then."""
        return self.folder.with_name(f".{self.folder.name}.tmp")

    def write(self, files: Files, state: Mapping[str, Any]) -> None:
        """Write every file as far as the system's memory: nothing waits for the disk."""
        self.drop()
        with disk_errors(self.folder):
            self.place.mkdir(parents=True)
            for name, tensors in files.items():
                write_tensors(tensors, self.place / name)
            text = json.dumps(state, indent=1, ensure_ascii=False, default=str)
            (self.place / STATE).write_text(f"{text}\n", "utf-8")

    def publish(self) -> None:
        """Sum every file up, flush all to the disk, and give the folder its name."""
        with disk_errors(self.folder):
            files = {
                name: {"size_bytes": size, "sha256": hash_path(self.place / name)}
                for name, size in list_files(self.place).items()
            }
            manifest = {"format": FORMAT, "luban": __version__, "files": files}
            write_json(self.place / MANIFEST, manifest | {"sha256": hash_json(manifest)})
            publish(self.place, self.folder)

    def drop(self) -> None:
        """Remove what is left of it."""
        shutil.rmtree(self.place, ignore_errors=True)


def verify_checkpoint(folder: Path) -> None:
    """Raise a CheckpointError that names the file if anything is missing or changed."""
    try:
        manifest = read_json(folder / MANIFEST)
        _verify_manifest(manifest, folder)
        for name, expected in manifest["files"].items():
            _verify_file(folder / name, expected)
    except OSError as e:
        raise CheckpointError(f"{e.filename or folder} cannot be read: {e.strerror}", fix=_FIX) from e


_FIX = "remove this checkpoint; an older one will be used"


def _verify_manifest(manifest: Any, folder: Path) -> None:
    path = folder / MANIFEST
    if not isinstance(manifest, dict) or "sha256" not in manifest:
        raise CheckpointError(f"{path} has no checksum", fix=_FIX)
    rest = {key: value for key, value in manifest.items() if key != "sha256"}
    if hash_json(rest) != manifest["sha256"]:
        raise CheckpointError(f"{path} is not what was written: its checksum differs", fix=_FIX)
    if manifest["format"] != FORMAT:
        raise FormatError(
            f"{folder} was written by Luban {manifest['luban']} in checkpoint format {manifest['format']}; "
            f"this is Luban {__version__}, which reads format {FORMAT}",
            fix=f"go on with Luban {manifest['luban']}, or choose another --out; nothing was removed",
        )


def _verify_file(path: Path, expected: Mapping[str, Any]) -> None:
    if not path.is_file():
        raise CheckpointError(f"{path} is missing", fix=_FIX)
    if path.stat().st_size != expected["size_bytes"]:
        raise CheckpointError(
            f"{path} has {path.stat().st_size} bytes, not {expected['size_bytes']}", fix=_FIX
        )
    if hash_path(path) != expected["sha256"]:
        raise CheckpointError(f"{path} is not what was written: its checksum differs", fix=_FIX)


def newest_checkpoint(root: Path, log: Log) -> Path | None:
    """Return the newest checkpoint that is whole, None if there is none at all.

    Says loudly which newer ones are not whole. They are removed once a whole one is found; if none is,
    or if one is of another format, nothing is removed and the run does not start. Only one process may
    use `root`: what a killed one left half written is removed too.
    """
    _put_back(root)
    unusable: dict[Path, str] = {}
    for folder in sorted(_folders(root, "step"), key=_step_of, reverse=True):
        try:
            verify_checkpoint(folder)
            verify_checkpoint(_best_of(root, folder))
        except FormatError:
            raise
        except CheckpointError as e:
            log.warn(f"checkpoint {folder.name} is not usable: {e.problem}; going back to the one before")
            unusable[folder] = e.problem
        else:
            _clear(root, unusable)
            return folder
    if unusable:
        raise CheckpointError(
            f"no checkpoint in {root} is usable; the newest: {next(iter(unusable.values()))}",
            fix=f"put back a copy of what is damaged, or remove {root} to start anew",
        )
    _clear(root, [])
    return None


def prune_checkpoints(root: Path, keep_last: int) -> None:
    """Keep the newest checkpoints and the best weights that they name; remove the others."""
    with disk_errors(root):
        steps = sorted(_folders(root, "step"), key=_step_of, reverse=True)
        try:
            best = {_best_of(root, folder) for folder in steps[:keep_last]}
        except CheckpointError:
            return  # an older one has been damaged meanwhile: what it needs is unknown
        for folder in [*steps[keep_last:], *(f for f in _folders(root, "best") if f not in best)]:
            _remove(folder)


def step_folders(root: Path) -> list[Path]:
    """Return the checkpoints to go on from, newest first."""
    return sorted(_folders(root, "step"), key=_step_of, reverse=True)


def _folders(root: Path, kind: str) -> Iterator[Path]:
    return (p for p in root.glob(f"{kind}-*") if re.fullmatch(r"\w+-\d{7,}", p.name))


def _step_of(folder: Path) -> int:
    return int(folder.name.partition("-")[2])


def _best_of(root: Path, folder: Path) -> Path:
    return best_folder(root, read_json(folder / STATE)["best"]["step"])


def _put_back(root: Path) -> None:
    """Undo a replacement that was killed between its two renames."""
    for old in root.glob("*.replaced-*"):
        name = old.name.partition(".replaced-")[0]
        if not (root / name).exists():
            old.rename(root / name)


def _clear(root: Path, unusable: Iterable[Path]) -> None:
    for leftover in (*root.glob(".*.tmp"), *root.glob("*.replaced-*")):
        shutil.rmtree(leftover, ignore_errors=True)
    for folder in unusable:
        _remove(folder)


def _remove(folder: Path) -> None:
    """Remove a folder in one moment, so that no half of it is ever found."""
    if not folder.exists():
        return
    gone = folder.with_name(f".{folder.name}.gone.tmp")
    shutil.rmtree(gone, ignore_errors=True)
    folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return parameters and saved buffers by name; one that is shared comes once."""
    lasting = model.state_dict().keys()
    buffers = {name: b for name, b in model.named_buffers() if name in lasting}
    return {**dict(model.named_parameters()), **buffers}


def learning_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return what training may change: the rest is as the task made it, from its own inputs."""
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    return {name: t for name, t in model_tensors(model).items() if name not in frozen}


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the optimizer's state as "parameter/key": tensor."""
    return {
        f"{name}/{key}": value
        for name, p in model.named_parameters()
        for key, value in optimizer.state.get(p, {}).items()
        if value is not None
    }


@torch.no_grad()
def load_weights(folder: Path, model: nn.Module) -> None:
    """Copy a checkpoint's weights into the model; names and shapes must be the model's own."""
    found = read_tensors(folder / MODEL)
    ours = learning_tensors(model)
    wrong = sorted(
        name
        for name in found.keys() | ours.keys()
        if name not in found or name not in ours or found[name].shape != ours[name].shape
    )
    if wrong:
        raise CheckpointError(
            f"{folder} does not fit this model: {wrong[0]} and {len(wrong) - 1} more differ in name or shape",
            fix="choose another --out, or remove the checkpoints of the other model",
        )
    for name, tensor in ours.items():
        tensor.copy_(found[name])


def load_optimizer(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Give the optimizer the state it had."""
    names = {p: name for name, p in model.named_parameters()}
    state: dict[str, dict[str, Tensor]] = {}
    for full_name, tensor in read_tensors(folder / OPTIMIZER).items():
        name, _, key = full_name.rpartition("/")
        state.setdefault(name, {})[key] = tensor
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    optimizer.load_state_dict(
        {
            "state": {i: state[names[p]] for i, p in enumerate(parameters) if names[p] in state},
            "param_groups": optimizer.state_dict()["param_groups"],
        }
    )


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read every tensor of a file."""
    try:
        return load_file(path)
    except (SafetensorError, FileNotFoundError) as e:
        raise CheckpointError(f"{path} cannot be read: {e}", fix="remove this checkpoint") from None


def write_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors to a file; what the disk refuses is an OSError."""
    try:
        save_file({name: t.detach().contiguous() for name, t in tensors.items()}, path)
    except SafetensorError as e:
        code = re.search(r"os error (\d+)", str(e))
        if code is None:
            raise
        raise OSError(int(code[1]), os.strerror(int(code[1])), str(path)) from e
