"""Files of tensors, read without running anything that is in them, and written whole or not at all."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import pickle
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from luban.errors import CheckpointError, ConfigError
from luban.files import disk_errors, read_json, write_json
from luban.models.gguf import is_gguf, read_gguf

SAFE, OLD = "model.safetensors", "pytorch_model.bin"
FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
SHARD_BYTES = 5_000_000_000
CONVERT = (
    "convert it where you trust it: safetensors.torch.save_file(torch.load(FILE, weights_only=True), "
    "'model.safetensors')"
)
STORED = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
"""A safetensors file's word for a kind of number → torch's."""
AGAIN = "copy the file again from its source"


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Return every tensor of a model folder, or of a GGUF file, by its name there; floats become float32.

    One tensor after another, so that the memory holds the model once and the file never.
    """
    tensors: dict[str, Tensor] = {}
    readers = {".safetensors": read_safetensors, ".gguf": read_gguf}
    for path in _files(folder):
        for name, tensor in readers.get(path.suffix, _read_old)(path):
            tensors[name] = _checked(name, tensor, folder)
    return tensors


def write_weights(
    tensors: Mapping[str, Tensor],
    folder: Path,
    *,
    dtype: torch.dtype | None = None,
    max_shard_bytes: int = SHARD_BYTES,
) -> None:
    """Write model.safetensors; what is larger than `max_shard_bytes` in numbered parts with an index.

    `dtype` is that of the floats in the file; None leaves them as they are. Files are named as
    Hugging Face names them.
    """
    if max_shard_bytes < 1:
        raise ConfigError(f"max_shard_bytes = {max_shard_bytes} holds no tensor", fix="set it to 1 or more")
    shards = _divide(tensors, dtype, max_shard_bytes)
    names = [SAFE]
    if len(shards) > 1:
        names = [f"model-{i:05}-of-{len(shards):05}.safetensors" for i in range(1, len(shards) + 1)]
    for name, keys in zip(names, shards, strict=True):
        write_safetensors({key: _fitted(key, tensors[key], dtype) for key in keys}, folder / name)
    if len(shards) > 1:
        where = {key: name for name, keys in zip(names, shards, strict=True) for key in keys}
        n_bytes = sum(_n_bytes(t, dtype) for t in tensors.values())
        index = {"metadata": {"total_size": n_bytes}, "weight_map": dict(sorted(where.items()))}
        write_json(folder / f"{SAFE}.index.json", index)
    _remove_older(folder, set(names))


def _divide(tensors: Mapping[str, Tensor], dtype: torch.dtype | None, limit: int) -> list[list[str]]:
    """Put tensors into shards in their order; one larger than a shard has a file to itself."""
    shards: list[list[str]] = []
    current: list[str] = []
    room = limit
    for name, tensor in tensors.items():
        size = _n_bytes(tensor, dtype)
        if size > limit:
            shards.append([name])
            continue
        if size > room:
            shards.append(current)
            current, room = [], limit
        current.append(name)
        room -= size
    return [*shards, current] if current or not shards else shards


def _n_bytes(tensor: Tensor, dtype: torch.dtype | None) -> int:
    kind = dtype if dtype and tensor.is_floating_point() else tensor.dtype
    return tensor.numel() * kind.itemsize


def _fitted(name: str, tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    tensor = tensor.detach().cpu()
    if dtype is None or not tensor.is_floating_point() or tensor.dtype == dtype:
        return tensor.contiguous()
    fitted = tensor.to(dtype).contiguous()
    if dtype == torch.float16 and bool((fitted.isinf() & tensor.isfinite()).any()):
        raise CheckpointError(
            f"{name} holds {tensor.abs().max().item():g}, and float16 ends at {torch.finfo(dtype).max:g}",
            fix="save in bfloat16 or float32",
        )
    return fitted


def write_safetensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Write one file, whole or not at all."""
    with _whole(path) as temporary:
        try:
            safetensors.torch.save_file(tensors, temporary, metadata={"format": "pt"})
        except safetensors.SafetensorError as e:  # the library hides the disk's refusal in its own words
            code = re.search(r"os error (\d+)", str(e))
            if not code:
                raise
            raise OSError(int(code[1]), os.strerror(int(code[1]))) from e


def stream_safetensors(
    kinds: Mapping[str, tuple[str, Sequence[int]]], tensors: Iterable[Tensor], path: Path
) -> None:
    """Write one file, whole or not at all, of tensors that are made one after another.

    `kinds` gives the word for the kind of number and the shape of each, in their order: the header comes
    first. Source of the layout: the format's own description in the safetensors repository.
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    place = 0
    for name, (word, shape) in kinds.items():
        end = place + math.prod(shape) * STORED[word].itemsize
        header[name] = {"dtype": word, "shape": list(shape), "data_offsets": [place, end]}
        place = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with _whole(path) as temporary, temporary.open("wb") as f:
        f.write(len(text).to_bytes(8, "little") + text)
        for (name, (word, shape)), tensor in zip(kinds.items(), tensors, strict=True):
            if tensor.dtype != STORED[word] or list(tensor.shape) != list(shape):
                raise ValueError(f"{name}: {tensor.dtype} {list(tensor.shape)}, not {word} {list(shape)}")
            f.write(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data)


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """Yield a name to write under; the file takes its place once it is on the disk."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with disk_errors(path):
        try:
            temporary.touch()
            mode = temporary.stat().st_mode
            yield temporary
            temporary.chmod(mode)  # the library's own file is the owner's alone
            with temporary.open("rb") as f:
                os.fsync(f.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def _remove_older(folder: Path, kept: set[str]) -> None:
    """Delete what an earlier model left in the folder, so that no reader mixes the two."""
    if kept == {SAFE}:
        (folder / f"{SAFE}.index.json").unlink(missing_ok=True)
    for path in [folder / SAFE, *folder.glob("model-*-of-*.safetensors")]:
        if path.name not in kept:
            path.unlink(missing_ok=True)


def _files(folder: Path) -> list[Path]:
    if is_gguf(folder):
        return [folder]
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
        raise CheckpointError(f"{index} has no weight_map", fix=AGAIN)
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


def read_safetensors(path: Path) -> Iterator[tuple[str, Tensor]]:
    """Read each tensor into memory of its own: pages of a mapped file would count a second time."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:  # checks header, offsets and sizes
            names = list(file.keys())
        with path.open("rb") as data:
            header = json.loads(data.read(int.from_bytes(data.read(8), "little")))
            start = data.tell()
            for name in names:
                entry = header[name]
                tensor = torch.empty(entry["shape"], dtype=STORED[entry["dtype"]])
                data.seek(start + entry["data_offsets"][0])
                _fill(tensor, data)
                yield name, tensor
    except (safetensors.SafetensorError, OSError, ValueError, KeyError, RuntimeError) as e:
        raise CheckpointError(f"{path} is not a safetensors file: {e}", fix=AGAIN) from e


def _fill(tensor: Tensor, data: io.BufferedReader) -> None:
    if not tensor.numel():
        return
    room = tensor.view(-1).view(torch.uint8).numpy().data
    if data.readinto(room) != room.nbytes:
        raise ValueError("the file ends in the middle of a tensor")


def _read_old(path: Path) -> Iterator[tuple[str, Tensor]]:
    try:
        is_mapped = zipfile.is_zipfile(path)  # what torch wrote before its version 1.6 cannot be
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=is_mapped)
    except pickle.UnpicklingError as e:
        raise CheckpointError(
            f"{path} holds more than tensors, so opening it could run code; it was not opened",
            fix="get the model as safetensors, or do not use it",
        ) from e
    except (OSError, RuntimeError, EOFError, ValueError, KeyError) as e:
        raise CheckpointError(f"{path} cannot be read: {e}", fix=AGAIN) from e
    if not isinstance(found, dict) or not all(isinstance(t, Tensor) for t in found.values()):
        raise CheckpointError(f"{path} is not a table of tensors", fix=CONVERT)
    for name in list(found):
        yield str(name), found.pop(name).clone()  # the file may be replaced while the model lives


def _checked(name: str, tensor: Tensor, folder: Path) -> Tensor:
    if not (tensor.dtype.is_floating_point and tensor.dtype in FLOATS):
        return tensor  # a constant, or a kind of number that matching refuses by name
    # A finite sum has finite parts, and needs no second array; an infinite one may have grown so.
    if not bool(tensor.sum(dtype=torch.float32).isfinite()):
        n_bad = int((~torch.isfinite(tensor)).sum())
        if n_bad:
            raise CheckpointError(
                f"{folder}: {name} holds {n_bad} values that are infinite or not a number",
                fix="go back to an earlier checkpoint, or copy the file again",
            )
    return tensor.float()
