"""Rows of questions about texts: columns found, answers put in their places, contexts kept in one part."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

from luban.data.convert.files import read_squad
from luban.data.encoding import Unreadable
from luban.data.examples import CARVED, SPLIT_COLUMNS, SPLIT_NAMES, table_in
from luban.data.messages import parsed
from luban.data.split import assign
from luban.data.tables import TABLE_SUFFIXES, find_column, read_rows, suffix_of
from luban.errors import DataError

USUAL: Mapping[str, tuple[str, ...]] = {
    "question": ("question", "query", "query_text", "问题", "提问", "问句"),
    "context": ("context", "context_text", "passage", "paragraph", "article", "上下文", "原文", "文章", "段落"),
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


def read_questions(path: Path, columns: Columns, *, eval_path: Path | None = None, seed: int = 1) -> Questions:
    """Read rows and part them, so that no context, and no title where there are several, is in two parts.

    A split column is followed; `eval_path` is the test part whatever its own column says. A file with
    train and dev only has its dev part tested, and validation is carved from train.
    """
    found = Questions()
    rows = read_rows_of(path, columns, found)
    if eval_path:
        tested = read_rows_of(eval_path, columns, found)
        rows = [r for r in rows if r.part != "test"]
        rows += [dataclasses.replace(r, part="test") for r in tested]
    if not rows:
        first = f": line {r[0]['line']}: {r[0]['reason']}" if (r := found.rejects) else ""
        raise DataError(
            f"{path} has no usable row ({len(found.rejects)} rejected{first})",
            fix="give rows with question, context and answers",
        )
    parts = _parts(rows, found, seed, path)
    _remove_leaks(parts, found, path.name)
    for row in parts["train"]:
        if row.texts and not row.spans:
            reason = f"the answer {row.texts[0][:60]!r} does not stand in the context"
            found.rejects.append({"file": path.name, "line": row.line, "id": row.id, "reason": reason})
    found.train = [r for r in parts["train"] if r.spans or r.is_impossible]
    found.validation, found.test = parts["validation"], parts["test"]
    if len(found.train) < len(parts["train"]):
        lost = len(parts["train"]) - len(found.train)
        found.warnings.append(f"{lost} training rows are set aside: their answers do not stand in the context")
    return found


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
        found.warnings.append(f"{repaired} answers of {path.name} were not where their offset says, and are moved")
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


def _asked(row: Mapping[str, Any], names: Mapping[str, str | None], file: str, line: int) -> tuple[Asked, int]:
    """Return the question of a row, and how many answers were moved to where they stand."""
    values = {what: row.get(name) if name else None for what, name in names.items()}
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
            raise Unreadable(f"{names['split']} = {values['split']!r} is no split; use train, validation or test")
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
        found.warnings.append(f"{n_twice} ids of {file} stand for several questions; these are numbered #2, #3, ...")
    return kept


def _parts(rows: list[Asked], found: Questions, seed: int, path: Path) -> dict[str, list[Asked]]:
    """The rows by part, with missing parts carved from train."""
    parts: dict[str, list[Asked]] = {"train": [], "validation": [], "test": []}
    for row in rows:
        parts[row.part or "train"].append(row)
    if not parts["train"]:
        raise DataError(f"{path} has no rows for training", fix="mark some rows train in the split column")
    if not parts["test"] and parts["validation"]:
        found.warnings.append("there is no test part: the dev part is tested, and validation is carved from train")
        parts["test"], parts["validation"] = parts["validation"], []
    missing = {name: CARVED for name in ("validation", "test") if not parts[name]}
    if not missing:
        return parts
    names = _families(parts["train"], at_least=len(missing) + 1)
    if len(set(names)) <= len(missing):
        raise DataError(
            f"{path} has {len(set(names))} contexts for training: too few to carve {' and '.join(missing)}",
            fix="give more contexts, or mark the parts in a split column",
        )
    shares = {"validation": 0.0, "test": 0.0, **missing}
    part_of = assign(names, validation=shares["validation"], test=shares["test"], seed=seed)
    whole, parts["train"] = parts["train"], []
    for row, name in zip(whole, names, strict=True):
        parts[part_of[name]].append(row)
    return parts


def _families(rows: Sequence[Asked], at_least: int) -> list[str]:
    """Name for each row what must stay together: rows of one title and of one context.

    Titles are passed over where there are too few of them to part.
    """
    titles = {row.title for row in rows if row.title}
    by_title = len(titles) >= max(10, at_least)
    first: dict[str, str] = {}

    def root(name: str) -> str:
        while first[name] != name:
            first[name] = first[first[name]]
            name = first[name]
        return name

    for row in rows:
        context, title = "c" + same(row.context), "t" + row.title if by_title and row.title else ""
        for name in (context, title or context):
            first.setdefault(name, name)
        a, b = sorted((root(context), root(title or context)))
        first[b] = a
    return [root("c" + same(row.context)) for row in rows]


def same(context: str) -> str:
    """Return a context without what does not make it another."""
    return " ".join(context.casefold().split())


def _remove_leaks(parts: dict[str, list[Asked]], found: Questions, file: str) -> None:
    """Take out of train what has its context in validation or test, and out of validation what is in test."""
    for name, judges in (("train", ("validation", "test")), ("validation", ("test",))):
        judged = {same(row.context): judge for judge in judges for row in parts[judge]}
        leaked = [row for row in parts[name] if same(row.context) in judged]
        if not leaked:
            continue
        found.rejects += [
            {"file": file, "line": r.line, "id": r.id, "reason": f"its context is in {judged[same(r.context)]} too"}
            for r in leaked
        ]
        found.warnings.append(f"{len(leaked)} {name} rows are set aside: their context is in a part that is tested")
        parts[name] = [row for row in parts[name] if same(row.context) not in judged]
        if not parts[name]:
            raise DataError(
                f"no rows are left for {name}: all their contexts are in validation or test",
                fix="part the rows by their contexts",
            )


def counts_of(rows: Iterable[Asked]) -> dict[str, int]:
    """Return how many rows, contexts, and rows without an answer there are."""
    rows = list(rows)
    impossible = Counter(row.is_impossible for row in rows)[True]
    return {"rows": len(rows), "contexts": len({same(r.context) for r in rows}), "no_answer": impossible}
