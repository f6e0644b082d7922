"""The rows that a model is asked about, from a file, from standard input, or from one line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from luban.data.encoding import Unreadable, open_text
from luban.data.tables import TABLE_SUFFIXES, TEXT_COLUMNS, find_column, read_rows, suffix_of
from luban.errors import DataError

AS_JSON = 'write it as {"NAME": "TEXT"}'
USUAL_NAMES = {"text": TEXT_COLUMNS}
"""Other names under which a column is found."""


def rows_of_file(path: Path, reads: Sequence[str], column: str | None = None) -> list[dict[str, Any]]:
    """Return the rows of a file with the columns `reads`: lines of a text file, or rows of a table.

    `column` names the first of them where it has an unusual name.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist, or is a folder", fix="name a file with texts")
    try:
        if suffix_of(path) not in TABLE_SUFFIXES:
            with open_text(path) as f:
                return rows_of_texts((line.rstrip("\r\n") for line in f if line.strip()), reads, str(path))
        return list(_table_rows(path, reads, column))
    except Unreadable as e:
        raise DataError(
            f"{path} cannot be read: {e}", fix="give a text file, jsonl, csv, tsv or parquet"
        ) from None


def rows_of_texts(texts: Iterable[str], reads: Sequence[str], where: str) -> list[dict[str, Any]]:
    """Return a row for each text, where a model reads nothing but one text."""
    found = list(texts)
    if found and len(reads) > 1:
        raise DataError(
            f"{where} holds texts alone, and this model reads {', '.join(reads)}",
            fix=f"give rows with these columns, such as --row '{json.dumps(dict.fromkeys(reads, '...'))}'",
        )
    return [{reads[0]: text} for text in found]


def row_of_json(text: str, reads: Sequence[str]) -> dict[str, Any]:
    """Return the row that a JSON object is."""
    try:
        row = json.loads(text)
    except ValueError as e:
        raise DataError(f"--row {text[:80]} is not JSON: {e}", fix='write it as {"NAME": "TEXT"}') from None
    if not isinstance(row, dict):
        raise DataError(f"--row {text[:80]} is no object", fix='write it as {"NAME": "TEXT"}')
    return checked(row, reads, "--row")


def checked(row: Mapping[str, Any], reads: Sequence[str], where: str) -> dict[str, Any]:
    """Return a row as it is, or say which column it lacks."""
    missing = [name for name in reads if row.get(name) is None]
    if missing:
        raise DataError(
            f"{where} has no {', '.join(missing)}; it has: {', '.join(map(str, row))}",
            fix=f"give the columns {', '.join(reads)}",
        )
    return dict(row)


def _table_rows(path: Path, reads: Sequence[str], column: str | None) -> Iterator[dict[str, Any]]:
    first = reads[0]
    for number, row in read_rows(path):
        where = f"{path}:{number}"
        if isinstance(row, Unreadable):
            raise DataError(f"{where}: {row}", fix="repair or remove the line")
        found = find_column(column, USUAL_NAMES.get(first, (first,)), list(row), where)
        if found is None:
            raise DataError(
                f"{where} has no column with {first}; it has: {', '.join(row)}", fix="name it with --column"
            )
        value = row[found]
        plain = "" if value is None else str(value) if first == "text" else value
        yield checked({**row, first: plain}, reads, where)
