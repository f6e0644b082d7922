"""The records that all formats meet in: one for each kind of row."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from luban.data.encoding import Unreadable

Row = dict[str, Any]
Label = str | int | float | bool | tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Talk:
    """What was said, in OpenAI's form, and, of preferences, the better and the worse answer."""

    messages: tuple[Row, ...]
    tools: tuple[Any, ...] = ()
    chosen: str | None = None
    rejected: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Columns that are carried along."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question about a text, and where the text answers it; no answer where it does not."""

    id: str
    context: str
    question: str
    answers: tuple[tuple[str, int], ...]
    """(text, place of its first character in the context)."""
    title: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Span:
    """A labelled part of a text, from character `start` up to `end`."""

    start: int
    end: int
    label: str


@dataclass(frozen=True, slots=True)
class Labelled:
    """A text with a label, labelled spans, and relations between those; any may be missing."""

    text: str
    label: Label = None
    spans: tuple[Span, ...] = ()
    relations: tuple[tuple[int, int, str], ...] = ()
    """(number of the span it goes from, of that it goes to, label)."""
    tokens: tuple[tuple[int, int], ...] = ()
    """(start, end) of each, where the source has tokens."""
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What a source says of each token: part of speech, lemma, ..."""
    extra: Mapping[str, Any] = field(default_factory=dict)


Record = Talk | Question | Labelled
KINDS: Mapping[type[Any], str] = {
    Talk: "conversations",
    Question: "questions with answers",
    Labelled: "labelled texts",
}


def text_in(row: Mapping[str, Any], column: str) -> str:
    """Return a column that must hold a text which says something."""
    value = row.get(column)
    if not isinstance(value, str):
        raise Unreadable(f"no {column}" if value is None else f"{column} = {value!r:.60} is no text")
    if not value.strip():
        raise Unreadable(f"{column} is empty")
    return value


def whole(value: Any, what: str) -> int:
    """Return a whole number that may be spelt as a float."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value // 1:
        raise Unreadable(f"{what} = {value!r:.60} is no whole number")
    return int(value)


def span_of(text: str, start: int, end: int, label: Any, says: Any = None) -> Span:
    """Return a checked span: inside the text, with a label, and saying what the row claims it says.

    Some tools count a character beyond U+FFFF as two, as JavaScript does (UTF-16 units): where only so
    the span says what the row claims, its borders are put right.
    """
    if not isinstance(label, str) or not label.strip():
        raise Unreadable(f"a span's label = {label!r:.60} is no text")
    if isinstance(says, str) and text[start:end] != says:
        start, end = _from_utf16(text, start, end, says)
    if not 0 <= start < end <= len(text):
        raise Unreadable(f"the span {start}-{end} is not inside the text of {len(text)} characters")
    return Span(start, end, label)


def _from_utf16(text: str, start: int, end: int, says: str) -> tuple[int, int]:
    units = text.encode("utf-16-le", "surrogatepass")
    if 0 <= start < end <= len(units) // 2:
        part = units[2 * start : 2 * end].decode("utf-16-le", "replace")
        if part == says:
            before = len(units[: 2 * start].decode("utf-16-le", "replace"))
            return before, before + len(says)
    raise Unreadable(f"the span {start}-{end} says {text[max(0, start) : end]!r:.60}, not {says!r:.60}")


def rest(row: Mapping[str, Any], used: Sequence[str]) -> Row:
    """Return the columns that no field of the record holds."""
    return {name: value for name, value in row.items() if name not in used and value is not None}


def joined(row: Row, extra: Mapping[str, Any]) -> Row:
    """Return the row followed by the columns carried along, whose names must be others."""
    twice = row.keys() & extra.keys()
    if twice:
        raise Unreadable(f"its own column {min(twice)} would be written over")
    return {**row, **extra}


def json_of(row: Any) -> str:
    """Return one line of JSON in which Chinese is readable; NaN is refused, half characters are escaped."""
    try:
        line = json.dumps(row, ensure_ascii=False, allow_nan=False)
    except ValueError:
        raise Unreadable("it holds NaN or an infinity, or itself, which JSON cannot") from None
    except (TypeError, RecursionError) as e:
        raise Unreadable(f"JSON cannot hold it: {e}") from None
    try:
        line.encode()
    except UnicodeEncodeError:
        return json.dumps(row)
    return line
