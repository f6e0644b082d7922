"""Writes one split of token shards, a document at a time, in memory that does not grow with it.

SPLIT.bin          the tokens of all documents, 2 or 4 bytes each, little-endian
SPLIT.offsets.npy  where each document begins; one more entry ends the last
SPLIT.ids.txt      the id of each document, one a line
SPLIT.rows.npy     for each document its row in the documents folder, and its line in the next file
SPLIT.origins.jsonl  [source, licence, language], a line for all documents that have the same
SPLIT.column-NAME.npy  a number for each document, such as its quality
SPLIT.json         counts, and the SHA-256 of every file (of .npy files without their 128 bytes of header)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from luban.errors import DataError
from luban.files import disk_errors, write_json

HEADER_BYTES = 128
MOST_ORIGINS = 50_000
"""So many are remembered at once; where sources are addresses of pages, lines come twice instead."""
Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a document came from: `row` is its place in the documents folder, from 0."""

    source: str
    licence: str
    language: str
    row: int


class ShardWriter:
    """Streams one split to the disk; the summary appears when it closes without an error.

    with ShardWriter(folder, "train", vocab_size=32_000) as writer: writer.add("id", [5, 6, 1], n_bytes=9)
    """

    def __init__(self, folder: Path, split: str, vocab_size: int, columns: Sequence[str] = ()):
        self._folder, self._split, self._vocab_size = folder, split, vocab_size
        self._dtype = np.dtype("<u2" if vocab_size <= 1 << 16 else "<u4")
        self._n_tokens = self._n_documents = self._n_bytes = 0
        self._columns = tuple(columns)
        self._files: dict[str, _File] = {}
        self._lines: dict[tuple[str, str, str], int] = {}
        self._n_lines = 0

    def __enter__(self) -> ShardWriter:
        with disk_errors(self._folder), ExitStack() as stack:
            for name, kind in (("bin", None), ("offsets.npy", "<i8"), ("ids.txt", None)):
                self._files[name] = stack.enter_context(_File(self._path(name), kind))
            for column in self._columns:
                name = f"column-{column}.npy"
                self._files[name] = stack.enter_context(_File(self._path(name), "<f8"))
            self._files["offsets.npy"].write(bytes(8))
            self._stack = stack.pop_all()
        return self

    def add(
        self,
        id: str,
        tokens: Sequence[int] | Array,
        n_bytes: int,
        origin: Origin | None = None,
        numbers: Mapping[str, float] | None = None,
    ) -> None:
        """Append one document, its end token included; either all documents have an origin, or none."""
        ids = np.asarray(tokens, np.int64)
        if len(ids) and not 0 <= ids.min() <= ids.max() < self._vocab_size:
            raise DataError(
                f"document {id} has tokens {ids.min()} to {ids.max()}, the vocabulary {self._vocab_size}",
                fix="encode the text with the tokenizer of these shards",
            )
        with disk_errors(self._folder):
            self._files["bin"].write(ids.astype(self._dtype).tobytes())
            self._n_tokens += len(ids)
            self._n_documents += 1
            self._n_bytes += n_bytes
            self._files["offsets.npy"].write(self._n_tokens.to_bytes(8, "little"))
            self._files["ids.txt"].write((" ".join(id.splitlines()) + "\n").encode("utf-8", "replace"))
            for column in self._columns:
                value = (numbers or {}).get(column, float("nan"))
                self._files[f"column-{column}.npy"].write(np.float64(value).tobytes())
            if origin is not None:
                self._add_origin(origin)

    def _add_origin(self, origin: Origin) -> None:
        if "rows.npy" not in self._files:
            for name, kind in (("rows.npy", "<i8"), ("origins.jsonl", None)):
                file = _File(self._path(name), kind, n_columns=2)
                self._files[name] = self._stack.enter_context(file)
        key = (origin.source, origin.licence, origin.language)
        if key not in self._lines:
            if len(self._lines) >= MOST_ORIGINS:
                self._lines.clear()
            self._lines[key] = self._n_lines
            self._n_lines += 1
            line = json.dumps(key, ensure_ascii=False) + "\n"
            self._files["origins.jsonl"].write(line.encode("utf-8", "replace"))
        self._files["rows.npy"].write(np.array([origin.row, self._lines[key]], "<i8").tobytes())

    @property
    def counts(self) -> dict[str, int]:
        """What was written so far."""
        return {"tokens": self._n_tokens, "documents": self._n_documents, "bytes": self._n_bytes}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with disk_errors(self._folder):
            self._stack.__exit__(kind, error, trace)
        if error is None:
            digests = {name: file.digest.hexdigest() for name, file in self._files.items()}
            summary = {
                "dtype": self._dtype.name,
                "n_tokens": self._n_tokens,
                "n_documents": self._n_documents,
                "n_bytes": self._n_bytes,
                "sha256": digests.pop("bin"),
                "vocab_size": self._vocab_size,
                "files": digests,
            }
            write_json(self._path("json"), summary)

    def _path(self, name: str) -> Path:
        return self._folder / f"{self._split}.{name}"


class _File:
    """A file that is hashed as it is written; given a `kind` of number, in .npy format."""

    def __init__(self, path: Path, kind: str | None, n_columns: int = 1):
        self._kind, self._n_columns, self._size = kind, n_columns, 0
        self._file = path.open("wb")
        self.digest = hashlib.sha256()
        if kind:
            self._write_header(0)

    def write(self, data: bytes) -> None:
        """Append."""
        self._file.write(data)
        self.digest.update(data)
        self._size += len(data)

    def __enter__(self) -> _File:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            if error is None and self._kind:
                self._file.seek(0)
                self._write_header(self._size // (np.dtype(self._kind).itemsize * self._n_columns))

    def _write_header(self, n: int) -> None:
        """Write the .npy header of n rows, always of one length, so that it can be mended at the end."""
        shape = f"({n},)" if self._n_columns == 1 else f"({n}, {self._n_columns})"
        text = f"{{'descr': '{self._kind}', 'fortran_order': False, 'shape': {shape}, }}"
        room = HEADER_BYTES - 10
        self._file.write(b"\x93NUMPY\x01\x00" + room.to_bytes(2, "little"))
        self._file.write(text.ljust(room - 1).encode() + b"\n")
