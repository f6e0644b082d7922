"""Tables as records: which column is the text, and which of the others matter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from luban.data.encoding import Unreadable
from luban.data.readers.jsons import json_lines, json_values
from luban.data.readers.records import Blob, Broken, Found, Record, Row
from luban.data.tables import TEXT_COLUMNS, arrow_rows, csv_rows, parquet_rows

LANGUAGE_COLUMNS = ("language", "lang")
LICENCE_COLUMNS = ("licence", "license")
TIME_COLUMNS = (
    ("time", "date", "timestamp", "published", "published_at", "publish_date", "pubdate", "created")
    + ("created_at", "creation_date", "datetime", "时间", "日期", "发布时间")
)  # fmt: skip
AUDIO_COLUMNS = ("audio", "audio_filepath", "audio_path", "file", "file_name", "path", "wav")
AUDIO_SUFFIXES = frozenset((".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac", ".wma", ".aiff"))
_AUDIO = frozenset(AUDIO_COLUMNS)
ORIGIN_COLUMNS = frozenset((*LANGUAGE_COLUMNS, *LICENCE_COLUMNS, *TIME_COLUMNS))
_BESIDE = ORIGIN_COLUMNS | _AUDIO


def read_json_lines(blob: Blob) -> Found:
    """Yield the rows of JSON lines."""
    settings = blob.settings
    return _records(blob, json_lines(blob.stream, settings.max_line_bytes, blob.span, settings.encoding))


def read_json(blob: Blob) -> Found:
    """Yield the objects of a JSON file."""
    return _records(blob, json_values(blob.stream, blob.settings.max_line_bytes, blob.settings.encoding))


def read_csv(blob: Blob) -> Found:
    """Yield the rows of csv and tsv."""
    settings = blob.settings
    rows = csv_rows(blob.stream, blob.kind, _Columns(blob), settings.max_line_bytes, settings.encoding)
    return _records(blob, ((number, number, row) for number, row in rows))


def read_parquet(blob: Blob) -> Found:
    """Yield the rows of parquet, of which only the columns that matter are read."""
    with blob.seekable() as stream:
        rows = parquet_rows(blob.path or stream, _Columns(blob), blob.span)
        yield from _records(blob, ((number, number, row) for number, row in rows))


def read_arrow(blob: Blob) -> Found:
    """Yield the rows of Arrow IPC files and streams, feather and saved `datasets` among them."""
    with blob.seekable() as stream:
        rows = arrow_rows(stream, _Columns(blob))
        yield from _records(blob, ((number, number, row) for number, row in rows))


class _Columns:
    """Chooses the columns of a table, and refuses one without text."""

    def __init__(self, blob: Blob):
        self._settings = blob.settings

    def __call__(self, columns: Sequence[str]) -> Sequence[str] | None:
        text = text_column(columns, self._settings.text_column)
        if text is None:
            raise Unreadable(_no_column(columns, self._settings.text_column))
        carried = columns if "*" in self._settings.carry else self._settings.carry
        wanted = {text, *carried, *_BESIDE}
        return [name for name in columns if name in wanted]


def text_column(columns: Sequence[str], named: str | None) -> str | None:
    """Return the column with the text: the one named, or the first usual one, in any case."""
    if named is not None:
        return named if named in columns else None
    lowered = {str(c).strip().lower(): c for c in reversed(columns)}
    return next((lowered[name] for name in TEXT_COLUMNS if name in lowered), None)


def _no_column(columns: Sequence[str], named: str | None) -> str:
    held = ", ".join(map(str, columns[:50])) or "none"
    if named is not None:
        return f"no column {named}; it has: {held}"
    return f"no text column among {held}; set text_column"


def _records(blob: Blob, rows: Iterator[tuple[int, int, Row | Unreadable]]) -> Found:
    named, name = blob.settings.text_column, blob.name
    usual = named or TEXT_COLUMNS[0]
    number = 0
    for position, number, row in rows:
        if isinstance(row, Unreadable):
            yield Broken(name, number, str(row))
            continue
        column = usual if usual in row else text_column(list(row), named)
        if column is None:
            held = ", ".join(map(str, list(row)[:50])) or "none"
            yield Broken(name, number, f"no field {named or 'with text'}; it has: {held}")
            continue
        extra = {} if _AUDIO.isdisjoint(row) else _audio(blob, row)
        text = row.pop(column)
        yield Record(position, text, row, extra, number, name)
    if not number and blob.span is None:
        raise Unreadable("no row in it")


def _audio(blob: Blob, row: Row) -> dict[str, str]:
    """Return where a transcript's sound is, in the manner of sources, and note that it has one."""
    for column in AUDIO_COLUMNS:
        value: Any = row.get(column)
        value = value.get("path") if isinstance(value, dict) else value
        if isinstance(value, str) and PurePosixPath(value.lower()).suffix in AUDIO_SUFFIXES:
            if blob.depth:  # beside an archive, names are looked up when they are asked for
                blob.budget.transcribed.add(PurePosixPath(value).name)
            return {"audio": _zip_beside(blob) + value}
    return {}


def _zip_beside(blob: Blob) -> str:
    """Return "NAME.zip/" for a manifest NAME.manifest.jsonl of such an archive, else ""."""
    stem, dot, rest = Path(blob.name).name.partition(".manifest.")
    if not dot or blob.beside is None or blob.depth or not blob.beside.with_name(f"{stem}.zip").is_file():
        return ""
    return blob.name[: -len(f"{stem}.manifest.{rest}")] + f"{stem}.zip/"
