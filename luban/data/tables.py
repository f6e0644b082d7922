"""Rows of tables and JSON lines, one at a time, whatever the file's size."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from luban.data.encoding import Unreadable, open_text
from luban.data.extras import load_extra
from luban.errors import DataError

TEXT_COLUMNS = (
    "text",
    "content",
    "sentence",
    "document",
    "body",
    "review",
    "文本",
    "内容",
    "正文",
    "句子",
    "评论",
)
TABLE_SUFFIXES = (".jsonl", ".ndjson", ".csv", ".tsv", ".parquet")

Row = dict[str, Any]
Numbered = tuple[int, Row | Unreadable]
"""(line or row number from 1, the row or why it cannot be read)."""


def read_rows(
    path: Path, check: Callable[[Sequence[str]], None] = lambda columns: None
) -> Iterator[Numbered]:
    """Yield the numbered rows of a jsonl, csv, tsv or parquet file (each but parquet may be gzip).

    `check` is called with the column names before the first row, for formats that have them. Raises
    Unreadable when the file as a whole cannot be read.
    """
    kind = suffix_of(path)
    if kind in (".csv", ".tsv"):
        return _csv_rows(path, "\t" if kind == ".tsv" else None, check)
    if kind == ".parquet":
        return _parquet_rows(path, check)
    return _jsonl_rows(path)


def suffix_of(path: Path) -> str:
    """Return a file's suffix in lower case, looking under .gz."""
    return (Path(path.stem) if path.suffix.lower() == ".gz" else path).suffix.lower()


def find_column(named: str | None, usual: Sequence[str], columns: Sequence[str], where: str) -> str | None:
    """Return the column: the one named (an error if it is not there), else the first usual one.

    Usual names are found in any case.
    """
    if named is not None:
        if named in columns:
            return named
        raise DataError(
            f"{where} has no column {named}; it has: {', '.join(map(str, columns))}",
            fix="name one of its columns",
        )
    lowered = {str(c).strip().lower(): c for c in reversed(columns)}
    return next((lowered[name] for name in usual if name in lowered), None)


def _jsonl_rows(path: Path) -> Iterator[Numbered]:
    with open_text(path) as f:
        for number, line in enumerate(f, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (json.JSONDecodeError, RecursionError) as e:
                yield number, Unreadable(f"broken JSON: {e}")
                continue
            yield (
                number,
                row if isinstance(row, dict) else Unreadable(f"not an object: a {type(row).__name__}"),
            )


def _csv_rows(
    path: Path, delimiter: str | None, check: Callable[[Sequence[str]], None]
) -> Iterator[Numbered]:
    csv.field_size_limit(1 << 27)
    with open_text(path, newline="") as f:
        header = f.readline()
        f.seek(0)
        delimiter = delimiter or max(",;\t|", key=header.count)
        reader = csv.reader(f, delimiter=delimiter)
        columns = next(reader, None)
        if not columns:
            raise Unreadable("no header line")
        columns[0] = columns[0].lstrip("\ufeff")
        check(columns)
        while True:
            try:
                values = next(reader)
            except StopIteration:
                return
            except csv.Error as e:
                yield reader.line_num, Unreadable(f"broken row: {e}")
                continue
            if len(values) == len(columns):
                yield reader.line_num, dict(zip(columns, values, strict=True))
            elif values:
                message = f"{len(values)} fields where the header has {len(columns)}"
                yield reader.line_num, Unreadable(message)


def _parquet_rows(path: Path, check: Callable[[Sequence[str]], None]) -> Iterator[Numbered]:
    arrow, pq = load_extra("pyarrow"), load_extra("pyarrow.parquet")
    try:
        file = pq.ParquetFile(path)
    except (arrow.ArrowException, OSError) as e:
        raise Unreadable(f"broken parquet: {e}") from None
    with file:
        check(file.schema_arrow.names)
        number = 0
        try:
            for batch in file.iter_batches(batch_size=1000):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
        except (arrow.ArrowException, OSError) as e:
            raise Unreadable(f"broken parquet after row {number}: {e}") from None
