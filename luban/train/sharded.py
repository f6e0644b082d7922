"""Checkpoints that several processes write at once, each its own part, and that any number can read.

torch.distributed.checkpoint does the work. Its own reader runs what a hostile folder tells it to: the
index is a pickle, and so is every value that is no tensor. The reader here knows a few names only, and
tensors only.
"""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from luban.device import own_part
from luban.errors import CheckpointError, DiskError

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

SHARDS = "shards"
"""Folder of a checkpoint that holds the parts of all processes."""
INDEX = ".metadata"
PART = re.compile(r"__\d+_\d+\.distcp")
MAX_TENSORS = 1_000_000
FIX = "remove this checkpoint; if it came from elsewhere, do not trust its source"

_TORCH = "torch.distributed.checkpoint"
NAMES = {
    (f"{_TORCH}.metadata", "Metadata"),
    (f"{_TORCH}.metadata", "TensorStorageMetadata"),
    (f"{_TORCH}.metadata", "TensorProperties"),
    (f"{_TORCH}.metadata", "ChunkStorageMetadata"),
    (f"{_TORCH}.metadata", "MetadataIndex"),
    (f"{_TORCH}.metadata", "StorageMeta"),
    (f"{_TORCH}.metadata", "_MEM_FORMAT_ENCODING"),
    (f"{_TORCH}.filesystem", "_StorageInfo"),
    ("torch", "Size"),
    ("torch.serialization", "_get_layout"),
    ("pathlib", "PosixPath"),
    ("pathlib", "WindowsPath"),
}
"""All that an index of tensors may name, beside dtypes; the names are those of the torch that is tested."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What an index says of a tensor."""

    shape: tuple[int, ...]
    dtype: torch.dtype


def save_shards(folder: Path, tensors: Mapping[str, Tensor], group: ProcessGroup | None = None) -> None:
    """Write this process's part of every tensor; all processes of the group must call it.

    `group` is not the one that trains: two threads may not share one.
    """
    from torch.distributed.checkpoint.filesystem import FileSystemWriter
    from torch.distributed.checkpoint.state_dict_saver import save

    with _failures(folder):
        writer = FileSystemWriter(folder, sync_files=True)
        save(dict(tensors), storage_writer=writer, process_group=group)


def load_shards(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """Fill tensors, however they are spread, with what was saved; all processes must call it."""
    _load(folder, tensors, is_alone=False)


def read_shards(folder: Path) -> dict[str, Tensor]:
    """Return every tensor whole; one process is enough."""
    tensors = {name: torch.empty(kind.shape, dtype=kind.dtype) for name, kind in list_shards(folder).items()}
    _load(folder, tensors, is_alone=True)
    return tensors


def list_shards(folder: Path) -> dict[str, Kind]:
    """Return the kind of every tensor in a folder, and refuse an index that the files cannot hold."""
    index = _read_index(folder)
    n_bytes = sum(path.stat().st_size for path in folder.glob("*.distcp"))
    found = {}
    for name, entry in index.state_dict_metadata.items():
        shape, dtype = tuple(int(n) for n in entry.size), entry.properties.dtype
        n_bytes -= torch.Size(shape).numel() * dtype.itemsize
        if n_bytes < 0 or min(shape, default=1) < 0:
            raise CheckpointError(f"{folder}: {name} {shape} is larger than the files", fix=FIX)
        found[str(name)] = Kind(shape, dtype)
    return found


def put(target: Tensor, whole: Tensor) -> None:
    """Copy into a tensor that may be spread over processes what this one holds of it."""
    if target.shape != whole.shape:
        raise CheckpointError(
            f"a tensor of the shape {tuple(whole.shape)} was saved where the model has {tuple(target.shape)}",
            fix="choose another --out, or remove the checkpoints of the other model",
        )
    spread: Any = target.detach()
    if hasattr(spread, "device_mesh"):
        from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

        sizes, starts = compute_local_shape_and_global_offset(
            spread.shape, spread.device_mesh, spread.placements
        )
        for dim, (start, size) in enumerate(zip(starts, sizes, strict=True)):
            whole = whole.narrow(dim, start if size else 0, size)
    own_part(spread).copy_(whole)


class _Unpickler(pickle.Unpickler):
    """Reads an index of tensors, and refuses every other name."""

    def find_class(self, module: str, name: str) -> Any:
        """Look a name up, if it is one of those known."""
        is_dtype = module == "torch" and isinstance(getattr(torch, name, None), torch.dtype)
        if (module, name) not in NAMES and not is_dtype:
            raise CheckpointError(
                f"the index names {module}.{name}, which is no part of a checkpoint", fix=FIX
            )
        return super().find_class(module, name)


def _read_index(folder: Path) -> Any:
    from torch.distributed.checkpoint.metadata import Metadata, TensorStorageMetadata

    path = folder / INDEX
    try:
        with path.open("rb") as file:
            index = _Unpickler(file).load()
    except CheckpointError as e:
        raise CheckpointError(f"{path}: {e.problem}", fix=FIX) from None
    except Exception as e:  # a damaged pickle may raise anything
        raise CheckpointError(f"{path} cannot be read: {e}", fix="remove this checkpoint") from None
    entries = getattr(index, "state_dict_metadata", None)
    if type(index) is not Metadata or not isinstance(entries, dict) or len(entries) > MAX_TENSORS:
        raise CheckpointError(f"{path} is no index of a checkpoint", fix=FIX)
    for name, entry in entries.items():
        if type(entry) is not TensorStorageMetadata:
            raise CheckpointError(f"{path}: {name} is no tensor", fix=FIX)
    for place in (index.storage_data or {}).values():
        if not PART.fullmatch(str(place.relative_path)) or place.transform_descriptors:
            raise CheckpointError(f"{path} names the file {place.relative_path}", fix=FIX)
    return index


def _load(folder: Path, tensors: Mapping[str, Tensor], *, is_alone: bool) -> None:
    from torch.distributed.checkpoint.state_dict_loader import load

    for name, kind in list_shards(folder).items():
        if name in tensors and tuple(tensors[name].shape) != kind.shape:
            raise CheckpointError(
                f"{folder}: {name} has the shape {kind.shape}, not {tuple(tensors[name].shape)}",
                fix="choose another --out, or remove the checkpoints of the other model",
            )
    reader, planner = _reader(folder), _planner()
    with _failures(folder), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled")  # that is what is_alone asks for
        load(dict(tensors), storage_reader=reader, planner=planner, no_dist=is_alone)


def _reader(folder: Path) -> Any:
    from torch.distributed.checkpoint.filesystem import FileSystemReader
    from torch.distributed.checkpoint.metadata import StorageMeta

    class Reader(FileSystemReader):
        def read_metadata(self, *args: Any, **kwargs: Any) -> Any:
            index = _read_index(folder)
            index.storage_meta = StorageMeta(load_id=self.load_id)
            return index

    return Reader(folder)


def _planner() -> Any:
    from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner

    class Planner(DefaultLoadPlanner):
        def load_bytes(self, read_item: Any, value: Any) -> None:
            raise CheckpointError(f"{read_item.dest_index.fqn} is no tensor", fix=FIX)

    return Planner(flatten_state_dict=False)


@contextmanager
def _failures(folder: Path) -> Iterator[None]:
    """Turn what torch collects from all processes, no Exception of Python's, into one of ours."""
    from torch.distributed.checkpoint.api import CheckpointException

    try:
        yield
    except CheckpointException as e:
        rank, (cause, _) = next(iter(e.failures.items()))
        if isinstance(cause, CheckpointError | DiskError):
            raise cause from None
        if isinstance(cause, OSError):
            raise DiskError(
                f"process {rank} cannot use {folder}: {cause.strerror or cause}",
                fix="all processes must reach the same folder, and it must have room",
            ) from None
        raise CheckpointError(
            f"{folder} failed in process {rank}: {cause}", fix="remove this checkpoint"
        ) from None
    except OSError as e:
        raise DiskError(
            f"{folder} cannot be used: {e.strerror or e}", fix="make room, or choose another disk"
        ) from None
