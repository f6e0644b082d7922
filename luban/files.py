"""Folders that are whole or absent: atomic writes, hashes, manifests, locks."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import gzip
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

from luban.errors import BusyError, CheckpointError, DataError, DiskError

MANIFEST = "manifest.json"
UNFINISHED = "unfinished.json"
"""Says what a folder will be, while its stage has not finished."""


def hash_bytes(data: bytes) -> str:
    """Return the SHA-256 of `data` in hex."""
    return hashlib.sha256(data).hexdigest()


def is_there(path: Path) -> bool:
    """Whether a path exists; raises DataError where a folder above it may not be opened."""
    try:
        return path.exists()
    except PermissionError:
        raise DataError(
            f"{path} cannot be looked at: a folder above it may not be opened",
            fix="allow it (chmod +x on the folder), or name another path",
        ) from None


def hash_path(path: Path) -> str:
    """Return the SHA-256 of a file, or of a folder's names and contents."""
    if not is_there(path):
        raise DataError(f"{path} does not exist", fix="check the path")
    if path.is_file():
        try:
            with path.open("rb") as f:
                return hashlib.file_digest(f, "sha256").hexdigest() if _HAS_DIGEST else _digest(f)
        except PermissionError:
            raise DataError(f"{path} may not be read", fix="allow it, or leave the file out") from None
    parts = [
        f"{p.relative_to(path).as_posix()}\0{_hash_member(p)}"
        for p in sorted(path.rglob("*"))
        if os.path.isfile(p)
    ]
    return hash_bytes("\n".join(parts).encode("utf-8", "surrogateescape"))


def _hash_member(path: Path) -> str:
    try:
        return hash_path(path)
    except DataError:
        return "closed"  # whoever reads the folder tells of it


_HAS_DIGEST = hasattr(hashlib, "file_digest")  # Python 3.11


def _digest(f: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while block := f.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def hash_json(value: Any) -> str:
    """Return the SHA-256 of a value's canonical JSON form."""
    return hash_bytes(json.dumps(value, sort_keys=True, ensure_ascii=False, default=str).encode())


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a refusal by the disk into an error that names the path and the way out."""
    try:
        yield
    except OSError as e:
        if e.errno in (errno.ENOSPC, errno.EDQUOT):
            free = shutil.disk_usage(_existing(path)).free
            raise DiskError(
                f"no space left while writing {path} ({free / 1e6:.0f} MB free)",
                fix="free some space, or set --out to a folder on another disk; finished stages are kept",
            ) from e
        if e.errno == errno.EFBIG:
            raise DiskError(
                f"{path} would be larger than this account or disk allows: {e.strerror}",
                fix="raise the limit (ulimit -f), or write to another disk",
            ) from e
        if e.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            raise DiskError(
                f"cannot write {path}: {e.strerror}",
                fix="choose an --out folder that you may write to",
            ) from e
        if e.errno in (errno.EIO, errno.ESTALE):
            raise DiskError(
                f"the disk failed while writing {path}: {e.strerror}",
                fix="look at the disk or the network mount, and copy away what is dear",
            ) from e
        raise


def _existing(path: Path) -> Path:
    return next(p for p in [path, *path.absolute().parents] if p.exists())


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with disk_errors(path):
        try:
            with temporary.open("wb") as f:
                f.write(data)
                f.flush()
                os.fsync(f.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file atomically."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write readable JSON atomically."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, default=str) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file; a broken one is an error that names it."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing", fix="check that the folder is whole") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as e:
        raise CheckpointError(f"{path} is not JSON: {e}", fix="restore or remove it") from None


def write_jsonl(path: Path, rows: Iterable[Any]) -> int:
    """Write one JSON object a line (gzip if the name ends in .gz); return how many."""
    n_rows = 0
    with disk_errors(path), _open_text(path, "w") as f:
        for row in rows:
            f.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")
            n_rows += 1
    return n_rows


def _open_text(path: Path, mode: Literal["r", "w"]) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, f"{mode}t", encoding="utf-8")  # type: ignore[return-value]
    return path.open(mode, encoding="utf-8")


def read_jsonl(path: Path) -> Iterator[Any]:
    """Read a JSON-lines file that Luban wrote (gzip if the name ends in .gz)."""
    with _open_text(path, "r") as f:
        for line in f:
            yield json.loads(line)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What made a folder: read from its manifest.json."""

    stage: str
    name: str
    key: str
    settings: dict[str, Any]
    inputs: dict[str, dict[str, Any]]
    facts: dict[str, Any]
    files: dict[str, int]
    seconds: float
    started: str
    command: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    code: str = ""

    @classmethod
    def read(cls, folder: Path) -> Manifest | None:
        """Return the folder's manifest; None where there is none, or an unreadable one."""
        try:
            data = json.loads((folder / MANIFEST).read_bytes())
            return cls(**{k: data[k] for k in cls.__slots__ if k in data})
        except (OSError, ValueError, TypeError):
            return None

    def is_whole(self, folder: Path) -> bool:
        """Whether every file the manifest lists is there with its size."""
        return all(
            (folder / name).is_file() and (folder / name).stat().st_size == size
            for name, size in self.files.items()
        )


def list_files(folder: Path) -> dict[str, int]:
    """Return the size in bytes of every file below `folder`, without the manifest."""
    return {
        p.relative_to(folder).as_posix(): p.stat().st_size
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p != folder / MANIFEST
    }


@contextlib.contextmanager
def locked(path: Path, naming: Path | None = None) -> Iterator[None]:
    """Hold the lock file `path`.lock; a second holder is refused, not made to wait.

    `naming` is what the error says is being written.
    """
    lock = path.with_name(f"{path.name}.lock")
    with disk_errors(lock):
        lock.parent.mkdir(parents=True, exist_ok=True)
        handle = lock.open("a+")
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            holder = handle.read().strip() or "unknown"
            raise BusyError(
                f"another run (process {holder}) is writing {naming or path}",
                fix="wait for it, stop it, or choose another --out",
            ) from None
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield


def partial_folder(out: Path, key: str) -> Path:
    """Return the folder where the stage with this key works before `out` exists."""
    return out.with_name(f"{out.name}.partial-{key[:12]}")


def remove_partials(out: Path, keep: Path | None = None) -> None:
    """Delete what interrupted runs with other keys left beside `out`."""
    for leftover in out.parent.glob(f"{out.name}.partial-*"):
        if leftover != keep:
            shutil.rmtree(leftover, ignore_errors=True)
    for old in out.parent.glob(f"{out.name}.replaced-*"):
        shutil.rmtree(old, ignore_errors=True)


def publish(partial: Path, out: Path) -> None:
    """Make a finished folder visible under its name, replacing an older one."""
    with disk_errors(out):
        sync_folder(partial)
        if out.exists():
            old = out.with_name(f"{out.name}.replaced-{os.getpid()}")
            out.rename(old)
            partial.rename(out)
            shutil.rmtree(old, ignore_errors=True)
        else:
            partial.rename(out)
        _sync(out.parent)


def sync_folder(folder: Path) -> None:
    """Flush every file below `folder`, and the folder itself, to the disk."""
    for path in folder.rglob("*"):
        if path.is_file():
            _sync(path)
    _sync(folder)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
