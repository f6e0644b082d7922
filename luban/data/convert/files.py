"""Files and folders of rows: each kind is a reader and a writer, and holds a part in memory at most."""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from luban.data.convert.columns import Columns
from luban.data.convert.conll import ConlluWriter, ConllWriter, read_conll, read_conllu
from luban.data.convert.datasets_folder import DatasetWriter, is_dataset, read_dataset
from luban.data.convert.labels import read_labelled
from luban.data.convert.questions import SquadWriter, flat_questions
from luban.data.convert.records import Row, json_of
from luban.data.documents import COLUMNS, DocumentWriter, read_documents
from luban.data.encoding import Unreadable, open_bytes, open_text, reading
from luban.data.extras import load_extra
from luban.data.readers.jsons import json_lines, whole_characters
from luban.data.tables import LINE_BYTES, Numbered, read_rows, suffix_of
from luban.errors import DataError

BATCH_ROWS = 1000
BATCH_CHARS = 8_000_000
_CHUNK_CHARS = 1 << 16


class Writer(Protocol):
    """Takes rows one by one."""

    def look(self, row: Row) -> None:
        """Learn from a row what the columns are; called for every row before any is added."""

    def add(self, row: Row) -> None:
        """Append a row; raises Unreadable for one that the file cannot hold."""

    def close(self) -> None:
        """Finish the file."""


@dataclass(frozen=True, slots=True)
class Carrier:
    """How rows lie on the disk."""

    read: Callable[[Path], Iterator[Numbered]]
    write: Callable[[Path], Writer]
    suffix: str = ""
    """Of its files; folders have none."""
    looks: bool = False
    """Whether the writer must be shown all rows first."""


def carrier_of(path: Path) -> str | None:
    """Return the name of the carrier that a file or folder is in, by its suffix or its contents."""
    if path.is_dir():
        if any(path.glob("documents-*.parquet")):
            return "documents"
        return "datasets" if is_dataset(path) else None
    return {".ndjson": "jsonl", ".conll": "conll", ".conllu": "conllu"}.get(
        suffix_of(path), next((n for n, c in CARRIERS.items() if c.suffix == suffix_of(path)), None)
    )


def read_lines(path: Path) -> Iterator[Numbered]:
    """Yield the rows of JSON lines as they are: none is mended."""
    with reading(path.name), open_bytes(path) as stream:
        for _, number, row in json_lines(stream, LINE_BYTES, mend=_whole):
            yield number, row


def _whole(row: Any) -> Any:
    if whole_characters(row) != row:
        raise Unreadable("it holds half a character (a lone surrogate)")
    return row


def read_json(path: Path) -> Iterator[Numbered]:
    """Yield the objects of a JSON list, or of the list `data` of a JSON object, a part at a time."""
    with open_text(path) as file:
        yield from _items(file)


def _items(file: IO[str]) -> Iterator[Numbered]:
    decoder = json.JSONDecoder()
    text = file.read(_CHUNK_CHARS)
    start = re.match(r"\s*(?:\[|\{.*?\"data\"\s*:\s*\[)", text, re.S)
    if start is None:
        raise Unreadable("neither a JSON list nor an object with a list of data")
    at, number, ahead = start.end(), 0, _CHUNK_CHARS
    while True:
        at = _skip(text, at)
        if at < len(text) and text[at] == "]":
            return
        try:
            item, end = decoder.raw_decode(text, at)
        except (json.JSONDecodeError, RecursionError) as e:
            more = file.read(ahead)
            if not more:
                raise Unreadable(f"broken JSON after row {number}: {e}") from None
            text, at, ahead = text[at:] + more, 0, 2 * ahead
            continue
        number, at = number + 1, end
        if at > _CHUNK_CHARS:
            text, at, ahead = text[at:], 0, _CHUNK_CHARS
        yield number, item if isinstance(item, dict) else Unreadable(f"not an object: {item!r:.40}")


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n,":
        at += 1
    return at


def read_squad(path: Path) -> Iterator[Numbered]:
    """Yield the questions of a SQuAD file, numbered from 1."""
    number = 0
    for _, article in read_json(path):
        try:
            if isinstance(article, Unreadable):
                raise article
            for row in flat_questions(article):
                number += 1
                yield number, row
        except Unreadable as e:
            number += 1
            yield number, e


def _read_lines(read: Callable[[IO[str]], Iterator[Numbered]]) -> Callable[[Path], Iterator[Numbered]]:
    def rows(path: Path) -> Iterator[Numbered]:
        with open_text(path) as file:
            yield from read(file)

    return rows


def _read_folder(path: Path) -> Iterator[Numbered]:
    return iter(enumerate(read_documents(path), start=1))


def open_to_write(path: Path) -> IO[str]:
    """Open a UTF-8 file to write, packed where its name ends in .gz."""
    if path.suffix == ".gz":
        return gzip.open(path, "wt", 6, encoding="utf-8", newline="")
    return path.open("w", encoding="utf-8", newline="")


class _Lines:
    """One JSON object a line."""

    def __init__(self, path: Path):
        self._file = open_to_write(path)

    def look(self, row: Row) -> None:
        """Need nothing."""

    def add(self, row: Row) -> None:
        """Append a line."""
        self._file.write(json_of(row) + "\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class _JsonList(_Lines):
    """A JSON list, an object a line."""

    def __init__(self, path: Path):
        super().__init__(path)
        self._before = "[\n"

    def add(self, row: Row) -> None:
        """Append an object."""
        self._file.write(self._before + json_of(row))
        self._before = ",\n"

    def close(self) -> None:
        """End the list, which has at least one row."""
        self._file.write("\n]\n")
        self._file.close()


class _Csv:
    """Comma- or tab-separated values under a header; what is no text is JSON, nothing is empty."""

    def __init__(self, path: Path, delimiter: str):
        self._file, self._columns = open_to_write(path), Columns()
        # Only so is a lone carriage return quoted, which readers take for the end of a line.
        self._writer = csv.writer(self._file, delimiter=delimiter, lineterminator="\r\n")
        self._has_header = False

    def look(self, row: Row) -> None:
        """Note the columns."""
        self._columns.kinds.update(dict.fromkeys(row, "text"))

    def add(self, row: Row) -> None:
        """Append a line."""
        fields = [_cell(row.get(name)) for name in self._columns.kinds]
        self._head()
        if not fields:
            raise Unreadable("it has no column")
        self._writer.writerow(fields)

    def close(self) -> None:
        """Close the file; one without rows has its header."""
        self._head()
        self._file.close()

    def _head(self) -> None:
        if not self._has_header:
            self._writer.writerow(list(self._columns.kinds))
            self._has_header = True


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        return json_of(value)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Unreadable("it holds half a character (a lone surrogate)") from None
    if "\0" in value:
        raise Unreadable("it holds a zero byte")
    return value


class _Parquet:
    """A Parquet file with the description that Hugging Face's library reads."""

    def __init__(self, path: Path):
        self._path, self._columns = path, Columns()
        self._rows: list[Row] = []
        self._n_chars = 0
        self._file: Any = None

    def look(self, row: Row) -> None:
        """Learn the columns' types."""
        self._columns.look(row)

    def add(self, row: Row) -> None:
        """Append a row that fits the columns."""
        fitted = self._columns.fitted(row)
        self._rows.append(fitted)
        self._n_chars += sum(len(v) for v in fitted.values() if isinstance(v, str))
        if len(self._rows) >= BATCH_ROWS or self._n_chars >= BATCH_CHARS:
            self._flush()

    def close(self) -> None:
        """Write what is left and close the file."""
        self._flush()
        self._file.close()

    def _flush(self) -> None:
        pa, pq = load_extra("pyarrow"), load_extra("pyarrow.parquet")
        schema = self._columns.schema()
        if self._file is None:
            self._file = pq.ParquetWriter(self._path, schema, compression="zstd")
        if self._rows:
            self._file.write_table(pa.Table.from_pylist(self._rows, schema=schema))
        self._rows, self._n_chars = [], 0


class _Folder:
    """A documents folder; columns that hold more than a text or a number are JSON."""

    def __init__(self, path: Path):
        path.mkdir()
        self._writer, self._columns, self._n = DocumentWriter(path), Columns(), 0

    def look(self, row: Row) -> None:
        """Learn the columns' types."""
        self._columns.look(_scalars(row))

    def add(self, row: Row) -> None:
        """Append a document; what it lacks of the usual columns is unknown."""
        self._n += 1
        row = _scalars(row)
        if not isinstance(row.get("text"), str) or not row["text"]:
            raise Unreadable("no text")
        kept = self._columns.fitted(row)
        usual = {"id": str(self._n), "source": "", "licence": "unknown", "language": "und", "time": ""}
        given = {name: str(kept[name]) for name in COLUMNS if kept.get(name) is not None}
        self._writer.add({**usual, **kept, **given})

    def close(self) -> None:
        """Write what is left."""
        self._writer.__exit__(None, None, None)


def _scalars(row: Row) -> Row:
    return {k: json_of(v) if isinstance(v, (list, dict, tuple)) else v for k, v in row.items()}


class _Squad:
    """SQuAD's nested JSON."""

    def __init__(self, path: Path, version: str):
        self._file = open_to_write(path)
        self._writer = SquadWriter(self._file, version)

    def look(self, row: Row) -> None:
        """Need nothing."""

    def add(self, row: Row) -> None:
        """Append a question."""
        self._writer.add(row)

    def close(self) -> None:
        """Finish and close the file."""
        self._writer.close()
        self._file.close()


class _Conll:
    """Lines of tokens."""

    def __init__(self, path: Path, write: type[ConllWriter] | type[ConlluWriter]):
        self._file = open_to_write(path)
        self._writer = write(self._file)

    def look(self, row: Row) -> None:
        """Need nothing."""

    def add(self, row: Row) -> None:
        """Append a sentence."""
        self._writer.add_record(read_labelled(row))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def refuse_folder(path: Path) -> None:
    """Raise an error for a folder whose form is not known."""
    raise DataError(
        f"{path} is neither a documents folder nor one of Hugging Face's `datasets`",
        fix="name a file in it, or a folder with documents-*.parquet, state.json or dataset_dict.json",
    )


CARRIERS: Mapping[str, Carrier] = {
    "jsonl": Carrier(read_lines, _Lines, ".jsonl"),
    "json": Carrier(read_json, _JsonList, ".json"),
    "csv": Carrier(read_rows, lambda path: _Csv(path, ","), ".csv", looks=True),
    "tsv": Carrier(read_rows, lambda path: _Csv(path, "\t"), ".tsv", looks=True),
    "parquet": Carrier(read_rows, _Parquet, ".parquet", looks=True),
    "datasets": Carrier(read_dataset, DatasetWriter, looks=True),
    "documents": Carrier(_read_folder, _Folder, looks=True),
    "squad": Carrier(read_squad, lambda path: _Squad(path, "1.1"), ".json"),
    "squad2": Carrier(read_squad, lambda path: _Squad(path, "v2.0"), ".json"),
    "conll": Carrier(_read_lines(read_conll), lambda path: _Conll(path, ConllWriter), ".conll"),
    "conllu": Carrier(_read_lines(read_conllu), lambda path: _Conll(path, ConlluWriter), ".conllu"),
}
"""Name → carrier. A new one is a reader and a writer of rows."""
