"""Evaluation sets as texts to look for: every field of every row that holds text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luban.data.documents import read_documents
from luban.data.encoding import Unreadable, open_text
from luban.data.tables import TABLE_SUFFIXES, read_rows, suffix_of
from luban.errors import DataError
from luban.files import is_there
from luban.log import Log

IDS = ("id", "task_id", "uid", "qid", "question_id")
_PASSED_OVER = (
    *IDS,
    "split",
    "label",
    "language",
    "source",
    "licence",
    "title",
    "subject",
    "cluster",
    "time",
)


@dataclass(frozen=True, slots=True)
class Item:
    """One text of an evaluation, and the items that have it: a passage has several questions."""

    ids: tuple[str, ...]
    field: str
    text: str


def name_sets(paths: Sequence[Path]) -> dict[str, Path]:
    """Name evaluation sets by their files, or where those are alike, by folder and file.

    A folder that holds no documents stands for the files in it.
    """
    files = [file for path in paths for file in _files(path)]
    short = [_short(path) for path in files]
    return {
        name if short.count(name) == 1 else f"{path.absolute().parent.name}/{name}": path
        for name, path in zip(short, files, strict=True)
    }


def _files(path: Path) -> list[Path]:
    if not path.is_dir() or any(path.glob("documents-*.parquet")):
        return [path]
    found = sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
    if not found:
        raise DataError(f"{path} holds no files", fix="name a folder with evaluation sets")
    return found


def _short(path: Path) -> str:
    name = path.name
    for suffix in reversed(path.suffixes):
        name = name.removesuffix(suffix)
    return path.absolute().parent.name if name in ("data", "test", "dev", "train") else name or path.name


def read_items(path: Path, fields: Sequence[str], log: Log) -> Iterator[Item]:
    """Yield the texts of an evaluation: a jsonl, csv, tsv or parquet file, lines of text, or documents."""
    found: dict[str, tuple[str, dict[str, None]]] = {}
    n_broken = 0
    for number, row in _rows(path):
        if isinstance(row, Unreadable):
            n_broken += 1
            continue
        id = next((str(row[name]) for name in IDS if row.get(name) not in (None, "")), str(number))
        for field, text in _texts(row, fields):
            found.setdefault(text, (field, {}))[1][id] = None
    if not found:
        wanted = f"a field {' or '.join(fields)}" if fields else "text"
        raise DataError(f"{path} holds no row with {wanted}", fix="name another file, or set leaks.fields")
    if n_broken:
        log.warn(f"{path}: {n_broken} rows cannot be read and are not looked for", rows=n_broken)
    for text, (field, ids) in found.items():
        yield Item(tuple(ids), field, text)


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any] | Unreadable]]:
    if not is_there(path):
        raise DataError(f"{path} does not exist", fix="check the path of the evaluation set")
    try:
        if path.is_dir():
            yield from (
                (i, {"id": r["id"], "text": r["text"]}) for i, r in enumerate(read_documents(path), 1)
            )
        elif suffix_of(path) in TABLE_SUFFIXES:
            yield from read_rows(path)
        else:
            with open_text(path) as f:
                yield from ((i, {"text": line}) for i, line in enumerate(f, 1))
    except Unreadable as e:
        raise DataError(f"{path} cannot be read: {e}", fix="give jsonl, csv, tsv, parquet or text") from None


def _texts(row: Mapping[str, Any], fields: Sequence[str]) -> Iterator[tuple[str, str]]:
    for name, value in row.items():
        if name in fields if fields else name not in _PASSED_OVER:
            yield from ((name, text) for text in _strings(value))


def _strings(value: Any) -> Iterator[str]:
    """Yield every string in a value, whatever holds it."""
    if isinstance(value, str):
        if value.strip():
            yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _strings(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _strings(one)
