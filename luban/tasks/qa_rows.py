"""Rows of questions about texts: columns found, answers put in their places, bad rows set aside."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

from luban.data.convert.files import read_squad
from luban.data.encoding import Unreadable
from luban.data.examples import SPLIT_COLUMNS, SPLIT_NAMES, table_in
from luban.data.messages import parsed
from luban.data.tables import TABLE_SUFFIXES, find_column, read_rows, suffix_of
from luban.errors import DataError

USUAL: Mapping[str, tuple[str, ...]] = {
    "question": ("question", "query", "query_text", "问题", "提问", "问句"),
    "context": (
        "context",
        "context_text",
        "passage",
        "paragraph",
        "article",
        "上下文",
        "原文",
        "文章",
        "段落",
    ),
    "answers": ("answers", "answer", "answer_text", "答案", "回答"),
    "start": ("answer_start", "start", "答案位置", "起始位置", "答案起始"),
    "id": ("id", "query_id", "qid", "编号"),
    "title": ("title", "标题", "题目"),
    "split": SPLIT_COLUMNS,
}
"""Columns by their usual names, in any case."""
NONE_COLUMN = "is_impossible"
Spans = tuple[tuple[int, int], ...]


class Columns(Protocol):
    """Names of the columns; None finds them by their usual names."""

    @property
    def question(self) -> str | None:
        """Column with the question."""

    @property
    def context(self) -> str | None:
        """Column with the text that is asked."""

    @property
    def answers(self) -> str | None:
        """Column with the answers."""

    @property
    def split(self) -> str | None:
        """Column with the split."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question about a context, with the answers that people gave."""

    id: str
    question: str
    context: str
    texts: tuple[str, ...] = ()
    """The answers as they are written; none: the context does not say."""
    spans: Spans = ()
    """(start, end) in characters of those answers that stand in the context."""
    title: str = ""
    part: str | None = None
    line: int = 0

    @property
    def is_impossible(self) -> bool:
        """Whether the context holds no answer."""
        return not self.texts


@dataclass(slots=True)
class Questions:
    """Rows in three parts, and what was found wrong on the way."""

    train: list[Asked] = field(default_factory=list)
    validation: list[Asked] = field(default_factory=list)
    test: list[Asked] = field(default_factory=list)
    rejects: list[dict[str, Any]] = field(default_factory=list)
    """Rows that are not used: {file, line, reason, id?}."""
    warnings: list[str] = field(default_factory=list)

    def part(self, name: str) -> list[Asked]:
        """Return the rows of train, validation or test."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[name]


def read_rows_of(path: Path, columns: Columns, found: Questions) -> list[Asked]:
    """Read the rows of a table or of SQuAD's nested JSON; those that cannot be used go to found.rejects."""
    path = table_in(path)
    if not path.is_file() or suffix_of(path) not in TABLE_SUFFIXES:
        raise DataError(
            f"{path} is not a table of questions",
            fix="give a jsonl, json, csv, tsv or parquet file (or .gz of the first four)",
        )
    names: dict[str, str | None] = {}
    rows, repaired = [], 0
    try:
        for line, row in _numbered(path):
            try:
                if isinstance(row, Unreadable):
                    raise row
                names = names or _find_columns(path, columns, list(row))
                asked, moved = _asked(row, names, path.name, line)
                rows.append(asked)
                repaired += moved
            except Unreadable as e:
                found.rejects.append({"file": path.name, "line": line, "reason": str(e)})
    except Unreadable as e:
        raise DataError(f"{path} cannot be read: {e}", fix="check the file, or save it again") from None
    if repaired:
        found.warnings.append(
            f"{repaired} answers of {path.name} were not where their offset says, and are moved"
        )
    return _with_own_ids(rows, path.name, found)


def place(context: str, text: str, start: int | None) -> tuple[tuple[int, int] | None, bool]:
    """Return where an answer stands, in characters, and whether that is not at `start`.

    An offset may count bytes of UTF-8, or UTF-16 units; a text that occurs once needs none.
    place("他在北京。", "北京", 6) -> ((2, 4), True)
    """
    text = text.strip()
    if not text:
        return None, False
    if start is not None:
        start += len(context[start:]) - len(context[start:].lstrip()) if start >= 0 else 0
        if start >= 0 and context.startswith(text, start):
            return (start, start + len(text)), False
    first = context.find(text)
    if first < 0:
        return None, False
    if context.find(text, first + 1) < 0:
        return (first, first + len(text)), True
    for at in () if start is None else _other_units(context, start):
        if context.startswith(text, at):
            return (at, at + len(text)), True
    return None, False


def _other_units(context: str, start: int) -> Iterator[int]:
    """Yield the characters that an offset means if it counts bytes of UTF-8, or UTF-16 units."""
    for name, width in (("utf-8", 1), ("utf-16-le", 2)):
        raw = context.encode(name, "surrogatepass")
        if 0 <= start * width <= len(raw):
            yield len(raw[: start * width].decode(name, "ignore"))


def _numbered(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield numbered rows, one a question; articles with paragraphs and their qas are laid out flat."""
    if suffix_of(path) != ".json":
        yield from read_rows(path)
        return
    rows = read_rows(path)
    first = next(rows, None)
    if first is not None and isinstance(first[1], dict) and {"data", "paragraphs"} & first[1].keys():
        yield from read_squad(path)
    elif first is not None:
        yield from chain([first], rows)


def _find_columns(path: Path, columns: Columns, header: Sequence[str]) -> dict[str, str | None]:
    names = {
        what: find_column(getattr(columns, what, None), usual, header, str(path))
        for what, usual in USUAL.items()
    }
    for what in ("question", "context"):
        if names[what] is None:
            raise DataError(
                f"{path} has no column known to hold the {what}; it has: {', '.join(map(str, header))}",
                fix=f"name it: --set train.columns.{what}=NAME",
            )
    return names


def _asked(
    row: Mapping[str, Any], names: Mapping[str, str | None], file: str, line: int
) -> tuple[Asked, int]:
    """Return the question of a row, and how many answers were moved to where they stand."""
    values: dict[str, Any] = {what: row.get(name) if name else None for what, name in names.items()}
    for what in ("question", "context"):
        value = values[what]
        if not isinstance(value, str):
            raise Unreadable(f"no {what}" if value is None else f"{what} = {value!r:.60} is no text")
        if not value.strip():
            raise Unreadable(f"{what} is empty")
    given = list(_answers(row, values))
    placed = [place(values["context"], text, start) for text, start in given]
    part = None
    if names["split"]:
        part = SPLIT_NAMES.get(str(values["split"]).strip().lower())
        if part is None:
            raise Unreadable(
                f"{names['split']} = {values['split']!r} is no split; use train, validation or test"
            )
    asked = Asked(
        id=str(values["id"]) if values["id"] not in (None, "") else f"{file}:{line}",
        question=values["question"],
        context=values["context"],
        texts=tuple(text for text, _ in given),
        spans=tuple(dict.fromkeys(span for span, _ in placed if span)),
        title=str(values["title"] or ""),
        part=part,
        line=line,
    )
    return asked, sum(moved for _, moved in placed)


def _answers(row: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[tuple[str, int | None]]:
    """Yield the answers of SQuAD's two forms, or of columns with a text, or texts, and a start."""
    answers: Any
    starts: Any
    answers, starts = _listed(values["answers"]), _listed(values["start"])
    if row.get(NONE_COLUMN) in (True, 1, "true", "True", "1"):
        return
    if answers is None:
        raise Unreadable("no answers")
    if isinstance(answers, Mapping):
        answers, starts = answers.get("text"), answers.get("answer_start")
    elif isinstance(answers, list) and all(isinstance(a, Mapping) for a in answers):
        answers, starts = [a.get("text") for a in answers], [a.get("answer_start") for a in answers]
    texts = answers if isinstance(answers, list) else [answers]
    places = starts if isinstance(starts, list) else [starts] * len(texts)
    if len(places) != len(texts):
        raise Unreadable(f"answers has {len(texts)} texts and {len(places)} places")
    for text, start in zip(texts, places, strict=True):
        if isinstance(text, bool) or not isinstance(text, (str, int, float)):
            raise Unreadable(f"an answer = {text!r:.60} is no text")
        if str(text).strip():
            yield str(text), _start(start)


def _listed(value: Any) -> Any:
    """Return the list or object that a table of text holds as JSON, and other values as they are."""
    return parsed(value) if isinstance(value, str) and value.lstrip()[:1] in ("[", "{") else value


def _start(value: Any) -> int | None:
    if value in (None, ""):
        return None
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        raise Unreadable(f"answer_start = {value!r:.60} is no whole number") from None


def _with_own_ids(rows: list[Asked], file: str, found: Questions) -> list[Asked]:
    """Give each row an id of its own; a row that says the same again is set aside."""
    seen: dict[str, set[tuple[str, str]]] = {}
    kept = []
    for row in rows:
        same = seen.setdefault(row.id, set())
        if (row.question, row.context) in same:
            reason = "the same id, question and context were there before"
            found.rejects.append({"file": file, "line": row.line, "id": row.id, "reason": reason})
            continue
        same.add((row.question, row.context))
        kept.append(row if len(same) == 1 else dataclasses.replace(row, id=f"{row.id}#{len(same)}"))
    if n_twice := sum(len(same) > 1 for same in seen.values()):
        found.warnings.append(
            f"{n_twice} ids of {file} stand for several questions; these are numbered #2, #3, ..."
        )
    return kept
