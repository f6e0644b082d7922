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

COLUMNS = ("id", "text", "source", "licence", "language", "time")
"""What every row has; others (a cluster, a split, a label, what a source brought along) follow."""
SPLITS = ("train", "validation", "test")
DROPPED = "dropped.jsonl"
REJECTS = "rejects.jsonl"
GROUP_CHARS = 8_000_000  # text held in memory before it goes to the disk
GROUP_ROWS = 50_000
PART_CHARS = 256_000_000


def write_documents(folder: Path, rows: Iterable[dict[str, Any]]) -> int:
    """Stream rows into documents-00000.parquet and its followers; return how many.

    A row holds the `COLUMNS`, and whatever other columns it has: text, or numbers.
    """
    with DocumentWriter(folder) as writer:
        for row in rows:
            writer.add(row)
    return writer.n


class DocumentWriter:
    """Writes rows to part files; a part is closed when it is large, or when new columns turn up.

    with DocumentWriter(folder) as writer: writer.add({"id": "a", "text": "..."})
    """

    def __init__(self, folder: Path, prefix: str = "documents"):
        self.n = 0
        self._folder, self._prefix = folder, prefix
        self._rows: list[dict[str, Any]] = []
        self._tables: list[Any] = []
        self._types: dict[str, Any] = {}
        self._file: Any = None
        self._part = self._group_chars = self._part_chars = 0

    def add(self, row: dict[str, Any]) -> None:
        """Append one row."""
        if self._tables:
            self._flush()
        self._rows.append(row)
        self._group_chars += len(row["text"])
        self.n += 1
        if self._group_chars >= GROUP_CHARS or len(self._rows) >= GROUP_ROWS:
            self._flush()

    def add_table(self, table: Any) -> None:
        """Append the rows of a pyarrow table; a column without any value counts as none."""
        if self._rows:
            self._flush()
        pc = load_extra("pyarrow.compute")
        self._tables.append(table)
        self._group_chars += pc.sum(pc.utf8_length(table.column("text"))).as_py() or 0
        self.n += table.num_rows
        if self._group_chars >= GROUP_CHARS or sum(t.num_rows for t in self._tables) >= GROUP_ROWS:
            self._flush()

    def __enter__(self) -> DocumentWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with disk_errors(self._folder):
            try:
                if error is None and (self._rows or self._tables or not self.n):
                    self._flush()  # even no documents make a file, so that the folder can be read
            finally:
                self._close()

    def _flush(self) -> None:
        pa, pq = load_extra("pyarrow"), load_extra("pyarrow.parquet")
        with disk_errors(self._folder):
            new = _new_types(self._rows, self._types)
            for table in self._tables:
                new |= _new_table_types(table, self._types | new)
            types = self._types | new
            if types != self._types:
                self._close()
                self._types = types
            schema = pa.schema(list(types.items()))
            if self._file is None:
                path = self._folder / f"{self._prefix}-{self._part:05d}.parquet"
                self._file = pq.ParquetWriter(path, schema, compression="zstd")
            missing = dict.fromkeys(COLUMNS, "")
            columns = {name: [row.get(name, missing.get(name)) for row in self._rows] for name in types}
            tables = [_conformed(table, schema) for table in self._tables]
            self._file.write_table(pa.concat_tables([pa.table(columns, schema=schema), *tables]))
            self._part_chars += self._group_chars
            self._rows, self._tables, self._group_chars = [], [], 0
            if self._part_chars >= PART_CHARS:
                self._close()

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file, self._part, self._part_chars = None, self._part + 1, 0


def _new_types(rows: list[dict[str, Any]], known: dict[str, Any]) -> dict[str, Any]:
    """Arrow types of columns that are not known yet: text, unless the first value is a number."""
    pa = load_extra("pyarrow")
    kinds = {bool: pa.bool_(), int: pa.int64(), float: pa.float64()}
    found: dict[str, Any] = {} if known else {name: pa.large_string() for name in COLUMNS}
    for row in rows:
        for name, value in row.items():
            if value is not None and name not in known and name not in found:
                found[name] = kinds.get(type(value), pa.large_string())
    return found


def _new_table_types(table: Any, known: dict[str, Any]) -> dict[str, Any]:
    pa = load_extra("pyarrow")
    found = {}
    for field in table.schema:
        if field.name not in known and table.column(field.name).null_count < table.num_rows:
            is_number = field.type in (pa.bool_(), pa.int64(), pa.float64())
            found[field.name] = field.type if is_number else pa.large_string()
    return found


def _conformed(table: Any, schema: Any) -> Any:
    """Return the table with the columns of a schema, in its order."""
    pa = load_extra("pyarrow")
    columns = []
    for field in schema:
        if field.name in table.column_names:
            column = table.column(field.name).cast(field.type)
            columns.append(column.fill_null("") if field.name in COLUMNS else column)
        elif field.name in COLUMNS:
            columns.append(pa.array([""] * table.num_rows, field.type))
        else:
            columns.append(pa.nulls(table.num_rows, field.type))
    return pa.table(columns, schema=schema)


def read_documents(folder: Path, split: str | None = None) -> Iterator[dict[str, Any]]:
    """Yield the rows of a documents folder in order, or those of one split."""
    paths = document_files(folder)
    pq = load_extra("pyarrow.parquet")
    for path in paths:
        try:
            with pq.ParquetFile(path) as parquet:
                if split and parquet.metadata.num_rows and "split" not in parquet.schema_arrow.names:
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
            with disk_errors(self.path):
                self._file.close()


def dropped_row(document: Document | dict[str, Any], drop: Drop, step: str) -> dict[str, Any]:
    """Return the line of dropped.jsonl for a document: where it came from, why it went, its text."""
    row = document if isinstance(document, dict) else row_of(document)
    where = {name: row[name] for name in ("id", "source", "licence", "language")}
    return {**where, "reason": drop.reason, "detail": drop.detail, "step": step, "text": row["text"]}


def row_of(document: Document) -> dict[str, Any]:
    """Return a document as a row of a documents folder."""
    return {**{name: getattr(document, name) for name in COLUMNS}, **document.extra}


def document_of(row: dict[str, Any]) -> Document:
    """Return a row of a documents folder as a document."""
    own = {name: row[name] for name in COLUMNS if row.get(name) is not None}
    extra = {name: value for name, value in row.items() if name not in COLUMNS and value is not None}
    return Document(**own, extra=extra)
