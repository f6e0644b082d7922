"""Files of tensors, read without running anything that is in them, and written whole or not at all."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from luban.errors import CheckpointError
from luban.files import disk_errors, read_json, write_bytes

SAFE, OLD = "model.safetensors", "pytorch_model.bin"
FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
CONVERT = (
    "convert it where you trust it: safetensors.torch.save_file(torch.load(FILE, weights_only=True), "
    "'model.safetensors')"
)


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Return every tensor of a model folder by its name in the file; floats become float32."""
    tensors: dict[str, Tensor] = {}
    for path in _files(folder):
        tensors |= _read_safe(path) if path.suffix == ".safetensors" else _read_old(path)
    return {name: _checked(name, tensor, folder) for name, tensor in tensors.items()}


def write_weights(tensors: Mapping[str, Tensor], folder: Path) -> None:
    """Write model.safetensors."""
    whole = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    with disk_errors(folder):
        write_bytes(folder / SAFE, safetensors.torch.save(whole, metadata={"format": "pt"}))


def _files(folder: Path) -> list[Path]:
    for name in (SAFE, OLD):
        if (folder / name).is_file():
            return [folder / name]
        index = folder / f"{name}.index.json"
        if index.is_file():
            return _shards(index)
    others = sorted(p.name for p in folder.glob("*") if p.suffix in (".bin", ".pt", ".pth", ".ckpt", ".pkl"))
    if others:
        raise CheckpointError(
            f"{folder} has no {SAFE}, only {others[0]}: a pickle file, which can run code when it is opened",
            fix=CONVERT,
        )
    raise CheckpointError(f"{folder} has no {SAFE}", fix="name a folder with the weights of a model")


def _shards(index: Path) -> list[Path]:
    table = read_json(index)
    names = table.get("weight_map") if isinstance(table, dict) else None
    if not isinstance(names, dict) or not all(isinstance(n, str) for n in names.values()):
        raise CheckpointError(f"{index} has no weight_map", fix="copy the file again from its source")
    paths = []
    for name in sorted(set(names.values())):
        if Path(name).name != name:
            raise CheckpointError(
                f"{index} names {name}, outside its folder", fix="do not use this checkpoint"
            )
        if not (index.parent / name).is_file():
            raise CheckpointError(
                f"{index.parent / name} is missing", fix="copy every file that the index names"
            )
        paths.append(index.parent / name)
    return paths


def _read_safe(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError, KeyError, RuntimeError) as e:
        raise CheckpointError(
            f"{path} is not a safetensors file: {e}", fix="copy the file again from its source"
        ) from e


def _read_old(path: Path) -> dict[str, Tensor]:
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as e:
        raise CheckpointError(
            f"{path} holds more than tensors, so opening it could run code; it was not opened",
            fix="get the model as safetensors, or do not use it",
        ) from e
    except (OSError, RuntimeError, EOFError, ValueError, KeyError) as e:
        raise CheckpointError(f"{path} cannot be read: {e}", fix="copy the file again from its source") from e
    if not isinstance(found, dict) or not all(isinstance(t, Tensor) for t in found.values()):
        raise CheckpointError(f"{path} is not a table of tensors", fix=CONVERT)
    return {str(name): tensor for name, tensor in found.items()}


def _checked(name: str, tensor: Tensor, folder: Path) -> Tensor:
    if not (tensor.dtype.is_floating_point and tensor.dtype in FLOATS):
        return tensor  # a constant, or a kind of number that matching refuses by name
    if not bool(torch.isfinite(tensor).all()):
        n_bad = int((~torch.isfinite(tensor)).sum())
        raise CheckpointError(
            f"{folder}: {name} holds {n_bad} values that are infinite or not a number",
            fix="go back to an earlier checkpoint, or copy the file again",
        )
    # A copy of its own: the file may be replaced while the model lives.
    return tensor.float().clone() if tensor.dtype == torch.float32 else tensor.float()
