"""The table of formats: how their rows lie on the disk, what a row means, and what does not come back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from luban.config import nearest
from luban.data.convert.chat import TURNS, read_chat, write_alpaca, write_openai, write_sharegpt, write_turns
from luban.data.convert.files import CARRIERS, carrier_of, refuse_folder
from luban.data.convert.labels import (
    SPANS,
    read_labelled,
    read_task,
    write_labelled,
    write_spans,
    write_task,
)
from luban.data.convert.questions import read_question, write_question
from luban.data.convert.records import KINDS, Labelled, Question, Row, Talk
from luban.data.encoding import Unreadable
from luban.data.tables import TEXT_COLUMNS, find_column
from luban.errors import ConfigError, DataError
from luban.files import is_there

LOOKED_AT = 20
"""The form is told from the first row among so many that can be read."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What the columns of a row mean. A new one is a reader and a writer of its kind's record."""

    kind: type[Any]
    read: Callable[[Row], Any]
    write: Callable[[Any], Row]
    plain: str = ""
    """Shape that a plain table of such rows has; empty for its own."""


SHAPES: Mapping[str, Shape] = {
    "openai": Shape(Talk, read_chat, write_openai),
    "messages": Shape(Talk, read_chat, write_turns),
    "sharegpt": Shape(Talk, read_chat, write_sharegpt),
    "alpaca": Shape(Talk, read_chat, write_alpaca),
    "qa": Shape(Question, read_question, write_question),
    "text": Shape(Labelled, read_labelled, write_labelled),
    "spans": Shape(Labelled, read_labelled, write_spans),
    "label-studio": Shape(Labelled, read_task, write_task, plain="text"),
}


@dataclass(frozen=True, slots=True)
class Format:
    """A name for the command line: a carrier, a shape, or both."""

    carrier: str | None
    shape: str | None
    about: str
    lost: str = ""
    """What does not come back on the way there and back."""

    @property
    def kind(self) -> str:
        """What its rows are."""
        return KINDS[SHAPES[self.shape].kind] if self.shape else "any rows"


_NULLS = "a null is a missing column"
FORMATS: Mapping[str, Format] = {
    "jsonl": Format("jsonl", None, "a JSON object a line", "NaN and infinities: rejected"),
    "json": Format("json", None, "one JSON list of objects", "NaN and infinities: rejected"),
    "csv": Format(
        "csv", None, "comma-separated, with a header", "types: all is text, lists are JSON, null is empty"
    ),
    "tsv": Format("tsv", None, "tab-separated, with a header", "as csv"),
    "parquet": Format(
        "parquet",
        None,
        "Parquet, described for `datasets`",
        "a missing key is null; tools are JSON; whole numbers among fractions are fractions",
    ),
    "datasets": Format("datasets", None, "folder for datasets.load_from_disk", "as parquet"),
    "documents": Format(
        "documents", None, "documents folder of the stages", "lists are JSON; rows need a text"
    ),
    "openai": Format(
        None, "openai", "messages with roles, tool_calls, tools", f"calls are numbered anew; {_NULLS}"
    ),
    "messages": Format(
        None,
        "messages",
        "messages in which a call is a turn of the role tool_call",
        "ids of calls; calls in a row are one turn; the spacing of their JSON; an empty list of tools",
    ),
    "sharegpt": Format(
        None,
        "sharegpt",
        "conversations of from and value, with function_call and observation",
        "as messages; other names of speakers become human, gpt",
    ),
    "alpaca": Format(
        None,
        "alpaca",
        "instruction, input, output, history, system",
        "instruction and input are one question; tool calls: rejected",
    ),
    "qa": Format(
        None, "qa", "rows with context, question, answers {text, answer_start}", f"is_impossible; {_NULLS}"
    ),
    "squad": Format(
        "squad", "qa", "SQuAD 1.1, nested JSON", "questions without an answer: rejected; fields of articles"
    ),
    "squad2": Format("squad2", "qa", "SQuAD 2.0, nested JSON", "fields of articles become the question's"),
    "text": Format(None, "text", "rows with text and label", f"other names of these two columns; {_NULLS}"),
    "spans": Format(None, "spans", "rows with text and spans {start, end, type}", "as text"),
    "label-studio": Format(
        None,
        "label-studio",
        "tasks with choices, labels, relations",
        "ids, authors and dates of the first annotation; numbers as labels become text",
    ),
    "conll": Format(
        "conll",
        "spans",
        "CoNLL 2003: token, pos, chunk, tag",
        "spaces; labels of the text, relations, carried columns; tags become BIO; overlaps: rejected",
    ),
    "conllu": Format(
        "conllu",
        "spans",
        "CoNLL-U, names in MISC as NER=",
        "carried columns become text; relations; overlaps, contractions: rejected",
    ),
}
"""Name → format. What is listed as rejected is written to the rejects with its line."""


@dataclass(frozen=True, slots=True)
class Form:
    """A carrier and a shape, decided; without a shape, rows go as they are."""

    carrier: str
    shape: str | None

    def __str__(self) -> str:
        return self.carrier if self.shape in (None, "qa") else f"{self.shape} in {self.carrier}"


def named_format(name: str) -> Format:
    """Return a format, or raise an error with the nearest name."""
    if name not in FORMATS:
        raise ConfigError(f"{name} is no format", fix=nearest(name, FORMATS))
    return FORMATS[name]


def source_form(path: Path, name: str | None) -> Form:
    """Return the form of a file or folder: as named, or found by its suffix and its first rows."""
    if not is_there(path):
        raise DataError(f"{path} does not exist", fix="check the path")
    given = named_format(name) if name else None
    carrier = (given.carrier if given else None) or carrier_of(path)
    if carrier is None:
        if path.is_dir():
            refuse_folder(path)
        raise DataError(f"{path}: its name does not say what it is", fix="name the format with --from")
    if given and given.shape:
        return Form(carrier, given.shape)
    found = next((f for f in FORMATS.values() if f.carrier == carrier and f.shape), None)
    if found:
        return Form(carrier, found.shape)
    row = _first_row(path, carrier)
    if carrier == "json" and "paragraphs" in row:
        return Form("squad", "qa")
    return Form(carrier, shape_of(row))


def _first_row(path: Path, carrier: str) -> Row:
    try:
        rows = (row for _, row in islice(CARRIERS[carrier].read(path), LOOKED_AT))
        return next((row for row in rows if isinstance(row, dict)), {})
    except Unreadable as e:
        raise DataError(f"{path} cannot be read: {e}", fix="check the file, or name its format") from None


def shape_of(row: Row) -> str | None:
    """Return the shape that a row looks like."""
    has = {name for name, value in row.items() if value is not None}
    turns = row.get("messages")
    if "messages" in has or ("prompt" in has and isinstance(row["prompt"], list)):
        roles = (
            {turn.get("role") for turn in turns if isinstance(turn, dict)} if isinstance(turns, list) else {}
        )
        return "messages" if "tool_call" in roles or isinstance(row.get("chosen"), str) else "openai"
    if has & set(TURNS):
        return "sharegpt"
    if {"context", "question"} <= has and has & {"answers", "is_impossible"}:
        return "qa"
    if isinstance(row.get("data"), dict):
        return "label-studio"
    if has & {"instruction", "prompt"} and has & {"output", "response", "completion", "chosen"}:
        return "alpaca"
    if find_column(None, TEXT_COLUMNS, list(row), "row"):
        return "spans" if has & set(SPANS) else "text"
    return None


def target_form(out: Path, to: str, source: Form, *, checked: bool) -> Form:
    """Return the form to write. A plain table takes rows as they are, or checked, in the source's shape."""
    wanted = named_format(to)
    carrier = wanted.carrier or carrier_for(out)
    by_suffix = carrier_for(out) if out.suffix else carrier
    if CARRIERS[carrier].suffix != CARRIERS[by_suffix].suffix:
        raise ConfigError(
            f"{out} does not end as {to} does", fix=f"end it in {CARRIERS[carrier].suffix or 'no suffix'}"
        )
    if wanted.shape is None:
        plain = SHAPES[source.shape].plain if source.shape else ""
        must = checked or source.carrier in ("squad", "squad2", "conll", "conllu")
        return Form(carrier, plain or (source.shape if must else None))
    if source.shape is None:
        raise DataError(
            f"the rows are of no form that {to} could be made from",
            fix=f"name their columns as one of these has them: {', '.join(shapes_like(wanted.shape))}",
        )
    ours, theirs = SHAPES[source.shape].kind, SHAPES[wanted.shape].kind
    if ours is not theirs:
        raise DataError(
            f"the rows are {KINDS[ours]} ({source.shape}); {to} holds {KINDS[theirs]}",
            fix=f"convert them to one of: {', '.join(shapes_like(source.shape))}",
        )
    return Form(carrier, wanted.shape)


def carrier_for(out: Path) -> str:
    """Return the carrier that an output's name asks for; in a folder of a stage, JSON lines."""
    if not out.suffix:
        return "jsonl"
    name = carrier_of(out)
    if name is None or out.is_dir():
        known = dict.fromkeys(c.suffix for c in CARRIERS.values() if c.suffix)
        raise ConfigError(
            f"{out}: nothing is known to write under this suffix",
            fix=f"end it in {', '.join(known)} (or .gz)",
        )
    return name


def shapes_like(shape: str) -> list[str]:
    """Return the formats that hold the same kind of row."""
    return [n for n, f in FORMATS.items() if f.shape and SHAPES[f.shape].kind is SHAPES[shape].kind]
