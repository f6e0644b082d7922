"""Conversations from rows of the forms that the world has: OpenAI's messages, ShareGPT's, Alpaca's."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from luban.data.encoding import Unreadable
from luban.data.examples import SPLIT_COLUMNS, SPLIT_NAMES, table_in
from luban.data.tables import TABLE_SUFFIXES, read_rows, suffix_of
from luban.errors import DataError
from luban.files import hash_json

CALL = "tool_call"
SPEAKERS = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "bot", "model", "chatgpt"), "assistant"),
    **dict.fromkeys(("tool", "observation", "function"), "tool"),
    **dict.fromkeys((CALL, "function_call"), CALL),
}
"""How rows name who speaks → the roles of templates, and `tool_call`, a part of the assistant's turn."""
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
    path = table_in(path)
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
                turns, tools = _turns(row), read_tools(row)
                check_calls(turns, tools)
                found.kept.append(Conversation(turns, path.name, line, tools, _split(row)))
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
    messages = tuple(check_order(read_messages(row)))
    if messages[-1]["role"] != "assistant":
        raise Unreadable(f"the last turn is the {messages[-1]['role']}'s, so nothing is answered")
    return messages


def read_messages(row: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a row's turns in the form of OpenAI's messages; raises Unreadable.

    A turn that is a tool call ({"role": "tool_call", "content": '{"name", "arguments"}'}, or ShareGPT's
    function_call) goes into `tool_calls` of the assistant's message, which it is a part of.
    """
    for key, role, content in (
        ("messages", "role", "content"),
        ("conversations", "from", "value"),
        ("conversation", "from", "value"),
    ):
        turns = parsed(row.get(key))
        if turns is None:
            continue
        if not isinstance(turns, list) or not all(isinstance(t, dict) for t in turns) or not turns:
            raise Unreadable(f"{key} is no list of turns")
        if role not in turns[0] and "role" in turns[0]:
            role, content = "role", "content"
        first = [{role: "system", content: row["system"]}] if _is_text(row.get("system")) else []
        return _joined([_message(t, role, content) for t in [*first, *turns]])
    return _alpaca(row)


def _message(turn: dict[str, Any], role: str, content: str) -> dict[str, Any]:
    speaker = SPEAKERS.get(str(turn.get(role)).lower())
    if speaker is None:
        known = ", ".join(sorted(MAY_FOLLOW["tool"] | MAY_FOLLOW[""] | {"tool"}))
        raise Unreadable(f"{role} = {turn.get(role)!r} is no role; use {known}")
    others = {k: v for k, v in turn.items() if k not in (role, content, *_CALLS) and v is not None}
    calls = _calls(turn)
    text = _text_of(turn.get(content))
    if text is None and calls:
        text = ""
    if text is None:
        raise Unreadable(f"the {content} of a turn is no text: a {type(turn.get(content)).__name__}")
    if speaker == CALL:
        calls, text = read_calls(text), ""
    message = {"role": speaker, "content": text, **others}
    return {**message, "tool_calls": calls} if calls else message


_CALLS = ("tool_calls", "function_call")


def _calls(turn: dict[str, Any]) -> list[dict[str, Any]]:
    calls = parsed(turn.get("tool_calls")) or []
    old = parsed(turn.get("function_call"))
    if isinstance(old, dict):
        calls = [{"function": old}]
    if not isinstance(calls, list):
        raise Unreadable("tool_calls is no list")
    return [_call(call) for call in calls]


def read_calls(text: str) -> list[dict[str, Any]]:
    """Return the calls that a turn spells as JSON, one or a list, as OpenAI's tool_calls."""
    calls = parsed(text)
    if isinstance(calls, dict):
        calls = [calls]
    if not isinstance(calls, list) or not calls:
        raise Unreadable(f"a tool call is no JSON of name and arguments: {text[:60]!r}")
    return [_call(call) for call in calls]


def _call(call: Any) -> dict[str, Any]:
    function = call.get("function", call) if isinstance(call, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(function, dict) or not isinstance(name, str) or not name:
        raise Unreadable(f"a tool call has no name: {str(call)[:60]}")
    arguments = function.get("arguments", function.get("parameters", {}))
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False)
    elif not isinstance(parsed(arguments), dict):
        raise Unreadable(f"the arguments of {name} are no JSON object: {arguments[:60]!r}")
    made = {"type": "function", "function": {"name": name, "arguments": arguments}}
    return {"id": call["id"], **made} if isinstance(call.get("id"), str) else made


def _joined(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Make calls a part of the assistant's message before them, or a message of the assistant."""
    joined: list[dict[str, Any]] = []
    for message in messages:
        if message["role"] != CALL:
            joined.append(message)
        elif joined and joined[-1]["role"] == "assistant":
            calls = [*joined[-1].get("tool_calls", ()), *message["tool_calls"]]
            joined[-1] = {**joined[-1], "tool_calls": calls}
        else:
            joined.append({**message, "role": "assistant"})
    return joined


def _text_of(content: Any) -> str | None:
    """Return a text, or the text of OpenAI's list of parts where all of them are text."""
    if isinstance(content, list) and content:
        parts = [p.get("text") if isinstance(p, dict) and p.get("type") == "text" else None for p in content]
        texts = [part for part in parts if isinstance(part, str)]
        return "\n".join(texts) if len(texts) == len(parts) else None
    return content if isinstance(content, str) else None


def _alpaca(row: dict[str, Any]) -> list[dict[str, Any]]:
    asked = row.get("instruction", row.get("prompt"))
    answer = row.get("output", row.get("response", row.get("completion")))
    if not isinstance(asked, str) or not isinstance(answer, str):
        raise Unreadable(f"no conversation; known are: {FORMS}")
    more = row.get("input")
    question = f"{asked}\n\n{more}" if _is_text(more) else asked
    past = parsed(row.get("history")) or []
    turns = [{"role": "system", "content": row["system"]}] if _is_text(row.get("system")) else []
    if not isinstance(past, list) or not all(map(_is_pair, past)):
        raise Unreadable("history is no list of pairs")
    for said, answered in [*past, (question, answer)]:
        turns += [{"role": "user", "content": said}, {"role": "assistant", "content": answered}]
    return turns


def _is_pair(past: Any) -> bool:
    return isinstance(past, list) and len(past) == 2 and all(isinstance(text, str) for text in past)


def check_order(messages: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the messages while each may follow the one before it and says something; raises Unreadable."""
    before = ""
    for i, message in enumerate(messages, start=1):
        role = message["role"]
        if role not in MAY_FOLLOW[before]:
            where = f"after the {before}'s" if before else "at the start"
            raise Unreadable(
                f"turn {i} is the {role}'s, {where}; expected: {' or '.join(sorted(MAY_FOLLOW[before]))}"
            )
        if not message["content"].strip() and not message.get("tool_calls"):
            raise Unreadable(f"turn {i}, the {role}'s, is empty")
        yield message
        before = role


def check_calls(messages: Sequence[dict[str, Any]], tools: Sequence[Any]) -> None:
    """Refuse calls of tools that the row does not list, and answers of tools to no call; raises Unreadable.

    A row that lists no tools may call any: some describe them in the system prompt.
    """
    known = {_tool_name(tool) for tool in tools}
    waits = False
    for i, message in enumerate(messages, start=1):
        names = [call["function"]["name"] for call in message.get("tool_calls", ())]
        unknown = next((name for name in names if known and name not in known), None)
        if unknown is not None:
            listed = ", ".join(sorted(known))
            raise Unreadable(
                f"turn {i} calls {unknown!r:.60}, which is not among the row's tools: {listed:.200}"
            )
        if message["role"] == "tool" and not waits:
            raise Unreadable(f"turn {i} is a tool's, and nothing was called before it")
        waits = bool(names) or (waits and message["role"] == "tool")


def _tool_name(tool: Any) -> str:
    function = tool.get("function", tool) if isinstance(tool, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(name, str) or not name:
        raise Unreadable(f"a tool has no name: {str(tool)[:60]}")
    return name


def read_tools(row: dict[str, Any]) -> tuple[Any, ...]:
    """Return the tools that a row describes, whether as a list or as its JSON."""
    tools = parsed(row.get("tools"))
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


def parsed(value: Any) -> Any:
    """Return JSON that a table holds as text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (json.JSONDecodeError, RecursionError):
        return value


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())
