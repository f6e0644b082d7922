"""Conversations from rows of the forms that the world has: OpenAI's messages, ShareGPT's, Alpaca's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from luban.data.encoding import Unreadable
from luban.data.examples import SPLIT_COLUMNS, SPLIT_NAMES
from luban.data.tables import TABLE_SUFFIXES, read_rows, suffix_of
from luban.errors import DataError
from luban.files import hash_json

SPEAKERS = {
    **dict.fromkeys(("system",), "system"),
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "bot", "model", "chatgpt"), "assistant"),
    **dict.fromkeys(("tool", "observation"), "tool"),
}
"""How rows name who speaks → the roles of templates."""
FORMS = 'messages [{"role", "content"}], conversations [{"from", "value"}], or instruction, input, output'
MAY_FOLLOW = {
    "": {"system", "user"},
    "system": {"user"},
    "user": {"assistant"},
    "assistant": {"user", "tool"},
    "tool": {"assistant", "tool"},
}


@dataclass(frozen=True, slots=True)
class Conversation:
    """What was said in one row, where it stands, and which tools there were."""

    messages: tuple[dict[str, Any], ...]
    file: str
    line: int
    tools: tuple[Any, ...] = ()
    split: str | None = None
    """train, validation or test, where the row says so."""

    @property
    def key(self) -> str:
        """A hash of the content: the same row has the same wherever it stands."""
        return hash_json([list(self.messages), list(self.tools)])

    def reject(self, reason: str) -> dict[str, Any]:
        """Return the row as rejects.jsonl lists it."""
        return {"file": self.file, "line": self.line, "reason": reason}


@dataclass(slots=True)
class Conversations:
    """Conversations of a file, and the rows that are none."""

    kept: list[Conversation] = field(default_factory=list)
    rejects: list[dict[str, Any]] = field(default_factory=list)
    """{file, line, reason}."""


def read_conversations(path: Path) -> Conversations:
    """Read conversations from jsonl(.gz), csv, tsv or parquet; a row that ends unanswered is set aside."""
    if not path.is_file() or suffix_of(path) not in TABLE_SUFFIXES:
        raise DataError(
            f"{path} is not a table of conversations",
            fix="give a jsonl, csv, tsv or parquet file (or .gz of the first three)",
        )
    found = Conversations()
    try:
        for line, row in read_rows(path):
            try:
                if isinstance(row, Unreadable):
                    raise row
                found.kept.append(Conversation(_turns(row), path.name, line, _tools(row), _split(row)))
            except Unreadable as e:
                found.rejects.append({"file": path.name, "line": line, "reason": str(e)})
    except Unreadable as e:
        raise DataError(f"{path} cannot be read: {e}", fix="check the file, or save it again") from None
    if not found.kept:
        first = found.rejects[0] if found.rejects else None
        what = f"; the first: line {first['line']}: {first['reason']}" if first else ""
        raise DataError(
            f"{path} has no usable conversation ({len(found.rejects)} rejected{what})",
            fix=f"give rows of one of these forms: {FORMS}",
        )
    return found


def _turns(row: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    messages = tuple(_checked(_messages(row)))
    if messages[-1]["role"] != "assistant":
        raise Unreadable(f"the last turn is the {messages[-1]['role']}'s, so nothing is answered")
    return messages


def _messages(row: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a row's turns in the form of OpenAI's messages."""
    for key, role, content in (
        ("messages", "role", "content"),
        ("conversations", "from", "value"),
        ("conversation", "from", "value"),
    ):
        turns = _parsed(row.get(key))
        if turns is None:
            continue
        if not isinstance(turns, list) or not all(isinstance(t, dict) for t in turns) or not turns:
            raise Unreadable(f"{key} is no list of turns")
        if role not in turns[0] and "role" in turns[0]:
            role, content = "role", "content"
        first = [{role: "system", content: row["system"]}] if _is_text(row.get("system")) else []
        return [_message(t, role, content) for t in [*first, *turns]]
    return _alpaca(row)


def _message(turn: dict[str, Any], role: str, content: str) -> dict[str, Any]:
    speaker = SPEAKERS.get(str(turn.get(role)).lower())
    if speaker is None:
        raise Unreadable(
            f"{role} = {turn.get(role)!r} is no role; use {', '.join(MAY_FOLLOW['tool'] | MAY_FOLLOW[''])}"
        )
    text = turn.get(content)
    if not isinstance(text, str):
        raise Unreadable(f"the {content} of a turn is no text: a {type(text).__name__}")
    return {"role": speaker, "content": text}


def _alpaca(row: dict[str, Any]) -> list[dict[str, Any]]:
    asked = row.get("instruction", row.get("prompt"))
    answer = row.get("output", row.get("response", row.get("completion")))
    if not isinstance(asked, str) or not isinstance(answer, str):
        raise Unreadable(f"no conversation; known are: {FORMS}")
    more = row.get("input")
    question = f"{asked}\n\n{more}" if _is_text(more) else asked
    past = _parsed(row.get("history")) or []
    turns = [{"role": "system", "content": row["system"]}] if _is_text(row.get("system")) else []
    if not isinstance(past, list) or not all(isinstance(p, list) and len(p) == 2 for p in past):
        raise Unreadable("history is no list of pairs")
    for said, answered in [*past, (question, answer)]:
        turns += [{"role": "user", "content": said}, {"role": "assistant", "content": answered}]
    return turns


def _checked(messages: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    before = ""
    for i, message in enumerate(messages, start=1):
        role = message["role"]
        if role not in MAY_FOLLOW[before]:
            where = f"after the {before}'s" if before else "at the start"
            raise Unreadable(
                f"turn {i} is the {role}'s, {where}; expected: {' or '.join(sorted(MAY_FOLLOW[before]))}"
            )
        if not message["content"].strip():
            raise Unreadable(f"turn {i}, the {role}'s, is empty")
        yield message
        before = role


def _tools(row: dict[str, Any]) -> tuple[Any, ...]:
    tools = _parsed(row.get("tools"))
    if tools in (None, "", []):
        return ()
    if not isinstance(tools, list):
        raise Unreadable("tools is no list")
    return tuple(tools)


def _split(row: dict[str, Any]) -> str | None:
    value = next((v for k, v in row.items() if str(k).strip().lower() in SPLIT_COLUMNS), None)
    if value is None:
        return None
    part = SPLIT_NAMES.get(str(value).strip().lower())
    if part is None:
        raise Unreadable(f"split = {value!r} is no split; use train, validation or test")
    return part


def _parsed(value: Any) -> Any:
    """Return JSON that a table holds as text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (json.JSONDecodeError, RecursionError):
        return value


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())
