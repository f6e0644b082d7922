"""Rows of tables and JSON lines, one at a time, whatever the file's size."""

from __future__ import annotations

import csv
import io
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from luban.data.encoding import Unreadable, open_bytes, reading, text_blocks
from luban.data.extras import load_extra
from luban.data.readers.jsons import json_lines, json_values
from luban.data.readers.records import Row as Row
from luban.data.unpacking import split_suffix
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
TABLE_SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".arrow", ".feather")
LINE_BYTES = 1 << 27
QUOTED_LINES = {".csv": 10_000, ".tsv": 100}
"""A quoted field runs over no more: one quote that is not closed must not hide the rows after it. In tsv
files a quote is often data."""
BATCH_ROWS = 256  # rows of a column table that are held as Python objects

Check = Callable[[Sequence[str]], Sequence[str] | None]
"""Is told the columns before the first row, and may say which of them are wanted."""
Numbered = tuple[int, "Row | Unreadable"]
"""(line or row number from 1, the row or why it cannot be read)."""


def read_rows(
    path: Path, check: Callable[[Sequence[str]], None] = lambda columns: None
) -> Iterator[Numbered]:
    """Yield the numbered rows of a json, jsonl, csv, tsv, parquet or arrow file; text may be packed.

    `check` is called with the column names before the first row, for formats that have them. Raises
    Unreadable when the file as a whole cannot be read.
    """
    kind = suffix_of(path)
    with reading(path.name):
        if kind in (".csv", ".tsv"):
            with open_bytes(path) as stream:
                yield from csv_rows(stream, kind, check)
        elif kind == ".parquet":
            yield from parquet_rows(path, check)
        elif kind in (".arrow", ".feather"):
            with path.open("rb") as stream:
                yield from arrow_rows(stream, check)
        else:
            read = json_values if kind == ".json" else json_lines
            with open_bytes(path) as stream:
                yield from ((number, row) for _, number, row in read(stream, LINE_BYTES))


def suffix_of(path: Path) -> str:
    """Return a file's suffix in lower case, looking under .gz, .zst, .bz2 and .xz."""
    return split_suffix(path.name)[0]


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


def csv_rows(
    stream: IO[bytes], kind: str, check: Check, max_bytes: int = LINE_BYTES, encoding: str | None = None
) -> Iterator[Numbered]:
    """Yield the rows of a csv file, whose delimiter its header tells, or of a tsv file."""
    csv.field_size_limit(max_bytes)
    lines = _text_lines(text_blocks(stream, encoding), max_bytes)
    header = next(lines, "")
    delimiter = "\t" if kind == ".tsv" else max(",;\t|", key=header.count)
    feed = _Feed(header, lines, QUOTED_LINES[kind])
    reader = csv.reader(feed, delimiter=delimiter)
    try:
        columns = next(reader, None)
    except csv.Error as e:
        raise Unreadable(f"broken header: {e}") from None
    if not columns:
        raise Unreadable("no header line")
    columns[0] = columns[0].lstrip("\ufeff")
    if twice := next((name for name in columns if name and columns.count(name) > 1), None):
        raise Unreadable(f"two columns are called {twice}")
    check(columns)
    while True:
        feed.held.clear()
        try:
            values = next(reader)
            wrong = _wrong(values, len(columns), feed.held, delimiter)
        except StopIteration:
            return
        except csv.Error as e:
            values, wrong = [], f"broken row: {e}"
        if wrong:
            number, line = feed.again()
            values = line.rstrip("\r\n").split("\t") if kind == ".tsv" else []
            if len(values) != len(columns):  # else the quote of a tsv file was data
                yield number, Unreadable(wrong)
                continue
        if values:
            yield feed.number, dict(zip(columns, values, strict=True))


def _wrong(values: Sequence[str], n_columns: int, lines: Sequence[str], delimiter: str) -> str:
    """Return what is wrong with a row of csv or ""; one of many lines must be quoted by the book."""
    if values and len(values) != n_columns:
        return f"{len(values)} fields where the header has {n_columns}"
    if any("\0" in line for line in lines):
        return "it holds a zero byte"
    if len(lines) > 1:
        try:
            next(csv.reader(lines, delimiter=delimiter, strict=True))
        except csv.Error as e:
            return f"a quote that opens in this line is closed in another row: {e}"
    return ""


def parquet_rows(
    file: Path | IO[bytes], check: Check, groups: tuple[int, int] | None = None
) -> Iterator[Numbered]:
    """Yield the rows of a parquet file, or of a range of its row groups, by their numbers in the file."""
    arrow, pq = load_extra("pyarrow"), load_extra("pyarrow.parquet")
    try:
        parquet = pq.ParquetFile(file, buffer_size=1 << 20, pre_buffer=False)
    except (arrow.ArrowException, OSError) as e:
        raise Unreadable(f"broken parquet: {e}") from None
    number = 0
    with parquet:
        wanted = check(parquet.schema_arrow.names)
        first, last = groups or (0, parquet.num_row_groups)
        sizes = [parquet.metadata.row_group(i).num_rows for i in range(first)]
        number = sum(sizes)
        try:
            batches = parquet.iter_batches(
                BATCH_ROWS, range(first, last), list(wanted) if wanted else None, use_threads=False
            )
            for batch in batches:
                for row in _objects(batch):
                    number += 1
                    yield number, row
        except (arrow.ArrowException, OSError) as e:
            raise Unreadable(f"broken parquet after row {number}: {e}") from None


def arrow_rows(stream: IO[bytes], check: Check) -> Iterator[Numbered]:
    """Yield the rows of an Arrow IPC file or stream (feather is such a file)."""
    arrow, ipc = load_extra("pyarrow"), load_extra("pyarrow.ipc")
    number = 0
    try:
        is_file = stream.read(6) == b"ARROW1"
        stream.seek(0)
        reader = ipc.open_file(stream) if is_file else ipc.open_stream(stream)
        check(reader.schema.names)
        batches = map(reader.get_batch, range(reader.num_record_batches)) if is_file else reader
        for batch in batches:
            batch.validate(full=True)  # Arrow trusts a file's offsets, and would read wherever they point
            for start in range(0, batch.num_rows, BATCH_ROWS):
                for row in _objects(batch.slice(start, BATCH_ROWS)):
                    number += 1
                    yield number, row
    except (arrow.ArrowException, OSError) as e:
        raise Unreadable(f"broken arrow after row {number}: {e}") from None


def _objects(batch: Any) -> list[Row]:
    batch = _bytes_as_text(batch)
    try:
        return batch.to_pylist()
    except UnicodeDecodeError:  # text that is no UTF-8, which the format does not forbid in practice
        arrow = load_extra("pyarrow")
        is_text = (arrow.types.is_string, arrow.types.is_large_string)
        columns = {}
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if any(check(column.type) for check in is_text):
                raw = column.cast(arrow.large_binary()).to_pylist()
                columns[name] = [v if v is None else v.decode("utf-8", "replace") for v in raw]
            else:
                columns[name] = column.to_pylist()
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _bytes_as_text(batch: Any) -> Any:
    """Return the batch with its columns of bytes as text, where they are valid UTF-8."""
    arrow = load_extra("pyarrow")
    for i, field in enumerate(batch.schema):
        if arrow.types.is_binary(field.type) or arrow.types.is_large_binary(field.type):
            try:
                text = batch.column(i).cast(arrow.large_string())
            except arrow.ArrowInvalid:  # an image, or such
                continue
            batch = batch.set_column(i, field.name, text)
    return batch


def _text_lines(blocks: Iterable[str], limit: int) -> Iterator[str]:
    """Yield lines with their ends; a longer line comes in pieces of `limit`."""
    rest = ""
    for block in blocks:
        text = rest + block
        lines = io.StringIO(text, newline="").readlines()
        rest = ""
        if lines and not lines[-1].endswith("\n"):
            rest = lines.pop()
        yield from lines
        while len(rest) > limit:
            yield rest[:limit]
            rest = rest[limit:]
    if rest:
        yield rest


class _Feed:
    """Lines for a csv reader; those after the first of a broken row are given again."""

    def __init__(self, first: str, rest: Iterator[str], most: int):
        self._rest, self._again, self._most = rest, deque([first]), most
        self.held: list[str] = []
        """Lines of the row so far."""
        self.number = 0
        """Of the last line given, from 1."""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if len(self.held) >= self._most:
            raise csv.Error(f"a quote that opens in this line is not closed within {self._most} lines")
        line = self._again.popleft() if self._again else next(self._rest, None)
        if line is None:
            if self.held:
                raise csv.Error("a quote that opens in this line is never closed")
            raise StopIteration
        self.held.append(line)
        self.number += 1
        return line

    def again(self) -> tuple[int, str]:
        """Give all but the first line of the row again; return that line, and its number."""
        first, *others = self.held
        self._again.extendleft(reversed(others))
        self.number -= len(others)
        return self.number, first
