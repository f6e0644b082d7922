"""Checkpoints: folders that are whole or absent, checked when read, never unpickled.

`step-0000050/` holds weights, optimizer state and what the run knew, to go on from; `best-0000040/`
holds the best weights. manifest.json lists every file with its size and SHA-256.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from luban.errors import CheckpointError
from luban.files import MANIFEST, disk_errors, hash_path, list_files, publish, read_json, write_json
from luban.log import Log

MODEL, OPTIMIZER, STATE = "model.safetensors", "optimizer.safetensors", "state.json"
FORMAT = 1
"""Raised when a reader of the old format would misread the new one."""
KEEP = 2


def step_folder(root: Path, step: int) -> Path:
    """Return the folder to go on from after `step`."""
    return root / f"step-{step:07d}"


def best_folder(root: Path, step: int) -> Path:
    """Return the folder of the weights that were best at `step`."""
    return root / f"best-{step:07d}"


def save_checkpoint(
    folder: Path,
    weights: Mapping[str, Tensor],
    state: Mapping[str, Any],
    optimizer: Mapping[str, Tensor] | None = None,
) -> None:
    """Write a checkpoint under a temporary name, flush it to the disk, then give it its name."""
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with disk_errors(folder):
            temporary.mkdir(parents=True)
            _write_tensors(weights, temporary / MODEL)
            if optimizer is not None:
                _write_tensors(optimizer, temporary / OPTIMIZER)
        write_json(temporary / STATE, state)
        files = {
            name: {"size_bytes": size, "sha256": hash_path(temporary / name)}
            for name, size in list_files(temporary).items()
        }
        write_json(temporary / MANIFEST, {"format": FORMAT, "files": files})
        publish(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def verify_checkpoint(folder: Path) -> None:
    """Raise a CheckpointError that names the file if anything is missing or changed."""
    fix = "remove this checkpoint; an older one will be used"
    manifest = read_json(folder / MANIFEST)
    if manifest.get("format") != FORMAT:
        raise CheckpointError(
            f"{folder} has checkpoint format {manifest.get('format')}, this Luban reads {FORMAT}",
            fix="use the version that wrote it, or remove it",
        )
    for name, expected in manifest["files"].items():
        path = folder / name
        if not path.is_file():
            raise CheckpointError(f"{path} is missing", fix=fix)
        if path.stat().st_size != expected["size_bytes"]:
            raise CheckpointError(
                f"{path} has {path.stat().st_size} bytes, not {expected['size_bytes']}", fix=fix
            )
        if hash_path(path) != expected["sha256"]:
            raise CheckpointError(f"{path} is not what was written: its checksum differs", fix=fix)


def newest_checkpoint(root: Path, log: Log) -> Path | None:
    """Return the newest checkpoint that is whole; say loudly which newer ones are not, and remove them.

    Only one process may use `root`: what a killed one left half written is removed too.
    """
    for leftover in (*root.glob(".*.tmp"), *root.glob("*.replaced-*")):
        shutil.rmtree(leftover)
    for folder in sorted(root.glob("step-" + "[0-9]" * 7), reverse=True):
        try:
            verify_checkpoint(folder)
            best = read_json(folder / STATE)["best"]
            verify_checkpoint(best_folder(root, best["step"]))
            return folder
        except CheckpointError as e:
            log.warn(f"checkpoint {folder.name} is not usable: {e.problem}; going back to the one before")
            shutil.rmtree(folder)
    return None


def prune_checkpoints(root: Path) -> None:
    """Keep the newest checkpoints and the best weights that they name; remove the rest."""
    kept = sorted(root.glob("step-" + "[0-9]" * 7))[-KEEP:]
    kept += [best_folder(root, read_json(folder / STATE)["best"]["step"]) for folder in kept]
    for folder in root.iterdir():
        if folder not in kept:
            shutil.rmtree(folder, ignore_errors=True)


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return parameters and saved buffers by name; one that is shared comes once."""
    lasting = model.state_dict().keys()
    buffers = {name: b for name, b in model.named_buffers() if name in lasting}
    return {**dict(model.named_parameters()), **buffers}


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
    found = _read_tensors(folder / MODEL)
    ours = model_tensors(model)
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
    for full_name, tensor in _read_tensors(folder / OPTIMIZER).items():
        name, _, key = full_name.rpartition("/")
        state.setdefault(name, {})[key] = tensor
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    optimizer.load_state_dict(
        {
            "state": {i: state[names[p]] for i, p in enumerate(parameters) if names[p] in state},
            "param_groups": optimizer.state_dict()["param_groups"],
        }
    )


def _write_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    try:
        save_file({name: t.detach().contiguous() for name, t in tensors.items()}, path)
    except SafetensorError as e:
        code = re.search(r"os error (\d+)", str(e))
        if code is None:
            raise
        raise OSError(int(code[1]), os.strerror(int(code[1])), str(path)) from e


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, FileNotFoundError) as e:
        raise CheckpointError(f"{path} cannot be read: {e}", fix="remove this checkpoint") from None
