"""Folders of documents: Parquet part files, and a line for each document that was dropped."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from luban.data.extras import load_extra
from luban.errors import DataError
from luban.files import disk_errors
from luban.records import Document, Drop

COLUMNS = ("id", "text", "source", "licence", "language")
EXTRA_COLUMNS = ("cluster", "split")
SPLITS = ("train", "validation", "test")
DROPPED = "dropped.jsonl"
REJECTS = "rejects.jsonl"
GROUP_CHARS = 8_000_000  # text held in memory before it goes to the disk
PART_CHARS = 256_000_000


def write_documents(folder: Path, rows: Iterable[dict[str, Any]]) -> int:
    """Stream rows into documents-00000.parquet and its followers; return how many.

    A row holds id, text, source, licence and language, and after dedup and split a cluster and a split.
    """
    pa, pq = load_extra("pyarrow"), load_extra("pyarrow.parquet")
    names: tuple[str, ...] = COLUMNS
    schema = writer = None
    n = part = part_chars = 0
    with disk_errors(folder):
        try:
            for group in _groups(rows):
                if schema is None:
                    names = (*COLUMNS, *(c for c in EXTRA_COLUMNS if group and c in group[0]))
                    schema = pa.schema([(name, pa.large_string()) for name in names])
                if writer is None:
                    writer = pq.ParquetWriter(
                        folder / f"documents-{part:05d}.parquet", schema, compression="zstd"
                    )
                columns = {name: [row[name] for row in group] for name in names}
                writer.write_table(pa.table(columns, schema=schema))
                n += len(group)
                part_chars += sum(len(text) for text in columns["text"])
                if part_chars >= PART_CHARS:
                    writer.close()
                    writer, part, part_chars = None, part + 1, 0
        finally:
            if writer is not None:
                writer.close()
    return n


def _groups(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    group: list[dict[str, Any]] = []
    chars, empty = 0, True
    for row in rows:
        group.append(row)
        chars += len(row["text"])
        if chars >= GROUP_CHARS or len(group) >= 50_000:
            yield group
            group, chars, empty = [], 0, False
    if group or empty:  # even no documents make a file, so that the folder can be read
        yield group


def read_documents(folder: Path, split: str | None = None) -> Iterator[dict[str, Any]]:
    """Yield the rows of a documents folder in order, or those of one split."""
    paths = document_files(folder)
    pq = load_extra("pyarrow.parquet")
    for path in paths:
        try:
            with pq.ParquetFile(path) as parquet:
                if split and "split" not in parquet.schema_arrow.names:
                    raise DataError(f"{folder} is not split", fix=f"luban data split {folder} --out OUT")
                for batch in parquet.iter_batches(batch_size=1000):
                    yield from (r for r in batch.to_pylist() if split is None or r["split"] == split)
        except load_extra("pyarrow").ArrowInvalid as e:
            raise DataError(f"{path} cannot be read: {e}", fix="make the folder again") from None


def document_files(folder: Path) -> list[Path]:
    """Return the part files of a documents folder, in order."""
    paths = sorted(folder.glob("documents-*.parquet"))
    if not paths:
        raise DataError(
            f"{folder} is not a documents folder: it has no documents-*.parquet",
            fix="name a folder that `luban data clean`, `dedup` or `split` wrote",
        )
    return paths


class JsonLines:
    """Appends JSON objects to a file, one a line; the file appears with the first.

    with JsonLines(path) as lines: lines.add({"id": 1})
    """

    def __init__(self, path: Path):
        self.path, self.n = path, 0
        self._file: IO[str] | None = None

    def add(self, row: dict[str, Any]) -> None:
        """Write one line."""
        with disk_errors(self.path):
            if self._file is None:
                self._file = self.path.open("w", encoding="utf-8", errors="backslashreplace")
            self._file.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")
        self.n += 1

    def __enter__(self) -> JsonLines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()


def dropped_row(document: Document | dict[str, Any], drop: Drop, step: str) -> dict[str, Any]:
    """Return the line of dropped.jsonl for a document: where it came from, why it went, its text."""
    row = document if isinstance(document, dict) else row_of(document)
    where = {name: row[name] for name in ("id", "source", "licence", "language")}
    return {**where, "reason": drop.reason, "detail": drop.detail, "step": step, "text": row["text"]}


def row_of(document: Document) -> dict[str, Any]:
    """Return a document as a row of a documents folder."""
    return {name: getattr(document, name) for name in COLUMNS}
