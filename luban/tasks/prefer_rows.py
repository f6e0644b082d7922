"""Rows that say which answer is better, or whether one is good, in the forms that the world has."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from luban.data.convert.chat import TURNS, read_chat
from luban.data.encoding import Unreadable
from luban.data.examples import SPLIT_COLUMNS, SPLIT_NAMES, table_in
from luban.data.messages import check_order, parsed, read_messages, read_tools
from luban.data.row_groups import Row
from luban.data.split import assign
from luban.data.tables import TABLE_SUFFIXES, read_rows, suffix_of
from luban.errors import DataError
from luban.files import hash_json
from luban.tokenizer.chat import ChatTemplate, encode_chat

Message = dict[str, Any]
LABELS = ("label", "kto_tag")
GOOD = {
    **dict.fromkeys((True, 1, "true", "True", "1", "good", "desirable"), True),
    **dict.fromkeys((False, 0, -1, "false", "False", "0", "-1", "bad", "undesirable"), False),
}
SPOKEN = re.compile(r"(?:^|\n\n)(Human|Assistant):[ \t]?")
"""Who speaks in a transcript, as Anthropic's hh-rlhf writes it."""
FORMS = (
    '{"messages", "chosen", "rejected"}, {"prompt", "chosen", "rejected"}, chosen and rejected as whole '
    'conversations, or {"messages", "label"}'
)


@dataclass(frozen=True, slots=True)
class Judged:
    """A prompt with its answers: the better and the worse one, or one that is good or bad."""

    prompt: tuple[Message, ...]
    chosen: str | None
    """None where the one answer is bad."""
    rejected: str | None
    """None where the one answer is good."""
    tools: tuple[Any, ...]
    file: str
    line: int
    split: str | None

    @property
    def is_pair(self) -> bool:
        """Whether there are two answers to compare."""
        return self.chosen is not None and self.rejected is not None

    def said(self, answer: str) -> list[Message]:
        """Return the conversation that ends with an answer."""
        return [*self.prompt, {"role": "assistant", "content": answer}]

    def reject(self, reason: str) -> dict[str, Any]:
        """Return the row as rejects.jsonl lists it."""
        return {"file": self.file, "line": self.line, "reason": reason}


@dataclass(slots=True)
class JudgedRows:
    """Rows of a file, and those that cannot be used: {file, line, reason}."""

    kept: list[Judged] = field(default_factory=list)
    rejects: list[dict[str, Any]] = field(default_factory=list)


def read_judged(path: Path) -> JudgedRows:
    """Read rows of any of the forms from jsonl(.gz), csv, tsv or parquet."""
    path = table_in(path)
    if not path.is_file() or suffix_of(path) not in TABLE_SUFFIXES:
        raise DataError(
            f"{path} is not a table of preferences",
            fix="give a jsonl, csv, tsv or parquet file (or .gz of the first three)",
        )
    found = JudgedRows()
    try:
        for line, row in read_rows(path):
            try:
                if isinstance(row, Unreadable):
                    raise row
                found.kept.append(_judged(row, path.name, line))
            except Unreadable as e:
                found.rejects.append({"file": path.name, "line": line, "reason": str(e)})
    except Unreadable as e:
        raise DataError(f"{path} cannot be read: {e}", fix="check the file, or save it again") from None
    if not found.kept:
        what = _first(found.rejects)
        raise DataError(
            f"{path} has no usable row ({len(found.rejects)} rejected{what})",
            fix=f"give rows of one of these forms: {FORMS}",
        )
    return found


def part_rows(rows: Sequence[Judged], validation: float) -> dict[str, list[Judged]]:
    """Part rows as they are marked, or else by prompt; those marked as a test are left alone."""
    parts: dict[str, list[Judged]] = {"train": [], "validation": []}
    rest = [row for row in rows if row.split != "test"]
    if any(row.split == "validation" for row in rest):
        for row in rest:
            parts[row.split or "train"].append(row)
        return parts
    names = [hash_json(list(row.prompt)) for row in rest]
    part_of = assign(names, validation=validation, test=0.0, seed=1)
    for row, name in zip(rest, names, strict=True):
        parts[part_of[name]].append(row)
    return parts


def encode_answer(template: ChatTemplate, judged: Judged, answer: str, max_len: int) -> Row:
    """Return ids of prompt and answer, of which the answer alone is to be said.

    DataError: the template refuses; Unreadable: there is no answer, or it is too long.
    """
    ids, supervised = encode_chat(template, judged.said(answer), tools=judged.tools or None)
    if len(ids) > max_len:
        raise Unreadable(f"{len(ids)} tokens, more than max_len = {max_len}")
    end = len(supervised) - supervised[::-1].index(True) if any(supervised[1:]) else 0
    start = end
    while start > 1 and supervised[start - 1]:
        start -= 1
    if end <= start:
        raise Unreadable("no token of the answer is left to learn")
    return ids, [start <= i < end for i in range(len(ids))]


def _first(rejects: Sequence[dict[str, Any]]) -> str:
    return f"; the first: line {rejects[0]['line']}: {rejects[0]['reason']}" if rejects else ""


def _judged(row: dict[str, Any], file: str, line: int) -> Judged:
    split = _split(row)
    label = next((name for name in LABELS if row.get(name) is not None), None)
    if label is not None and row.get("chosen") is None:
        return _labelled(row, label, (file, line, split))
    talk = read_chat(_with_prompt(row))
    if talk.chosen is None or talk.rejected is None:
        raise Unreadable(f"no chosen and rejected, and no label; known are: {FORMS}")
    if talk.chosen.strip() == talk.rejected.strip():
        raise Unreadable("chosen and rejected are the same")
    return Judged(talk.messages, talk.chosen, talk.rejected, talk.tools, file, line, split)


def _labelled(row: dict[str, Any], name: str, where: tuple[str, int, str | None]) -> Judged:
    value = row[name]
    good = GOOD.get(value.strip() if isinstance(value, str) else value) if _hashable(value) else None
    if good is None:
        raise Unreadable(f"{name} = {value!r:.40} is neither true nor false")
    messages = tuple(check_order(read_messages(row)))
    if messages[-1]["role"] != "assistant" or not messages[-1]["content"].strip():
        raise Unreadable("the last turn is no answer that could be good or bad")
    answer = messages[-1]["content"]
    chosen, rejected = (answer, None) if good else (None, answer)
    file, line, split = where
    return Judged(messages[:-1], chosen, rejected, read_tools(row), file, line, split)


def _hashable(value: Any) -> bool:
    return isinstance(value, bool | int | float | str)


def _with_prompt(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row whose answers are whole conversations with the turns that both begin with as prompt."""
    chosen, rejected = (_turns(row.get(name)) for name in ("chosen", "rejected"))
    if chosen is None or rejected is None or (len(chosen) < 2 and len(rejected) < 2):
        return row
    if chosen[:-1] != rejected[:-1]:
        raise Unreadable("chosen and rejected do not answer the same turns")
    if not chosen[:-1]:
        return row
    rest = {k: v for k, v in row.items() if k not in (*TURNS, "prompt", "chosen", "rejected")}
    for answer in (chosen[-1], rejected[-1]):
        if answer["role"] != "assistant":
            raise Unreadable(f"the last turn is the {answer['role']}'s, not an answer")
    return {
        **rest,
        "messages": chosen[:-1],
        "chosen": chosen[-1]["content"],
        "rejected": rejected[-1]["content"],
    }


def _turns(value: Any) -> list[Message] | None:
    """Return a conversation given as turns or as a transcript; None for a plain answer."""
    turns = parsed(value)
    if isinstance(turns, list) and len(turns) > 1:
        return read_messages({"messages": turns})
    if not isinstance(value, str) or not value.lstrip().startswith("Human:"):
        return None
    pieces = SPOKEN.split(value.strip())[1:]
    roles = {"Human": "user", "Assistant": "assistant"}
    return [
        {"role": roles[who], "content": text.strip()}
        for who, text in zip(pieces[::2], pieces[1::2], strict=True)
    ]


def _split(row: dict[str, Any]) -> str | None:
    value = next((v for k, v in row.items() if str(k).strip().lower() in SPLIT_COLUMNS), None)
    if value is None:
        return None
    part = SPLIT_NAMES.get(str(value).strip().lower())
    if part is None:
        raise Unreadable(f"split = {value!r} is no split; use train, validation or test")
    return part
