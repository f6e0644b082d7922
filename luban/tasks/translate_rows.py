"""Sentence pairs of a table or of two parallel text files: found, checked, and split without leaks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from luban.data.encoding import Unreadable, open_text
from luban.data.examples import CARVED, SPLIT_COLUMNS, SPLIT_NAMES, table_in
from luban.data.split import assign
from luban.data.tables import TABLE_SUFFIXES, find_column, read_rows, suffix_of
from luban.errors import DataError

SOURCE_COLUMNS = ("source", "src", "source_text", "source_sentence", "input", "原文", "源文", "源语言")
TARGET_COLUMNS = (
    *("target", "tgt", "target_text", "target_sentence", "translation", "reference", "output"),
    *("译文", "目标", "目标语言", "翻译"),
)
ALTERNATIVE_COLUMNS = ("alternatives", "references", "refs", "other_translations", "其他译文", "参考译文")
NESTED = "translation"
"""Column that holds an object of two languages in many published sets: {"en": ..., "de": ...}."""
LANGUAGES = frozenset(
    "en de zh fr es it pt nl ru ja ko ar cs pl tr vi sv fi da no el he hi hu ro uk bg th fa "
    "english german chinese french spanish italian portuguese russian japanese korean "
    "zh-cn zh-tw zh_cn zh_tw zho eng deu cmn 英文 英语 中文 汉语 德文 德语 法文 法语 日文 日语".split()
)
"""Names of columns and endings of files; not `id`, which hardly ever means Indonesian."""
MAX_RATIO, SHORT_BYTES = 9.0, 40
"""A side so many times longer than the other, in bytes of UTF-8, is no translation, as in the cleaning
script of Moses; short texts may differ more. A Chinese character takes three bytes, and says about as
much as three letters."""


class Columns(Protocol):
    """Names of the columns; None finds them by their usual names."""

    @property
    def source(self) -> str | None:
        """Column with the text to translate."""

    @property
    def target(self) -> str | None:
        """Column with its translation."""

    @property
    def alternatives(self) -> str | None:
        """Column with lists of more translations."""

    @property
    def split(self) -> str | None:
        """Column with the split."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A text, its translation, and other translations that are as good."""

    id: str
    source: str
    target: str
    others: tuple[str, ...] = ()
    other_sources: tuple[str, ...] = ()
    """Texts that mean the same as the source: what `others` become when the direction is turned."""

    @property
    def references(self) -> tuple[str, ...]:
        """Every translation, the row's own first."""
        return (self.target, *self.others)


@dataclass(slots=True)
class Pairs:
    """Pairs in three parts, and what was found wrong on the way."""

    train: list[Pair] = field(default_factory=list)
    validation: list[Pair] = field(default_factory=list)
    test: list[Pair] = field(default_factory=list)
    rejects: list[dict[str, Any]] = field(default_factory=list)
    """Rows that are not used: {file, line, reason, source?, target?}."""
    warnings: list[str] = field(default_factory=list)

    def part(self, name: str) -> list[Pair]:
        """Return the pairs of train, validation or test."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[name]


def read_pairs(
    path: Path, columns: Columns, *, reverse: bool = False, eval_path: Path | None = None, seed: int = 1
) -> Pairs:
    """Read the pairs of a jsonl, csv, tsv or parquet file, or of a.en beside a.de, in three parts.

    A split column is followed; `eval_path` is the test part. Missing parts are carved from train by
    the source's hash; with train and dev only, dev is tested. No source of one part is in another.
    """
    found = Pairs()
    rows = _read(path, columns, reverse, found)
    if eval_path:
        rows = [row for row in rows if row.split != "test"]
        rows += [replace(row, split="test") for row in _read(eval_path, columns, reverse, found)]
    if not rows:
        raise _nothing(path, found)
    parts = _parts(rows, path, found, seed)
    _remove_leaks(parts, found)
    if not parts["train"]:
        raise DataError(f"{path}: every training pair is in the test", fix="give other pairs to train on")
    for name, kept in parts.items():
        found.part(name).extend(row.pair for row in kept)
    return found


def read_all_pairs(
    path: Path, columns: Columns, *, reverse: bool = False
) -> tuple[list[tuple[Pair, str | None]], list[dict[str, Any]]]:
    """Read pairs as they stand, each with the part it is marked with, and the rejects."""
    found = Pairs()
    rows = _read(path, columns, reverse, found)
    if not rows:
        raise _nothing(path, found)
    return [(row.pair, row.split) for row in rows], found.rejects


@dataclass(frozen=True, slots=True)
class _Row:
    pair: Pair
    split: str | None
    file: str
    line: int

    def reject(self, reason: str) -> dict[str, Any]:
        where = {"file": self.file, "line": self.line, "reason": reason}
        return {**where, "source": self.pair.source, "target": self.pair.target}


def _read(path: Path, columns: Columns, reverse: bool, found: Pairs) -> list[_Row]:
    path = table_in(path)
    read = _table_rows if suffix_of(path) in TABLE_SUFFIXES else _parallel_rows
    if not path.is_file():
        raise DataError(
            f"{path} is not a file of pairs",
            fix="give a jsonl, csv, tsv or parquet file, or a.en beside a.de",
        )
    rows = []
    try:
        for line, row in read(path, columns):
            if isinstance(row, Unreadable):
                found.rejects.append({"file": path.name, "line": line, "reason": str(row)})
                continue
            row = _turned(row) if reverse else row
            if reason := why_not(row.pair.source, row.pair.target):
                found.rejects.append(row.reject(reason))
            else:
                rows.append(row)
    except Unreadable as e:
        raise DataError(f"{path} cannot be read: {e}", fix="check the file, or save it again") from None
    return rows


def _turned(row: _Row) -> _Row:
    pair = row.pair
    turned = Pair(pair.id, pair.target, pair.source, pair.other_sources, pair.others)
    return replace(row, pair=turned)


def why_not(source: str, target: str) -> str:
    """Return why a pair is no translation, or an empty text."""
    if not source or not target:
        return "no source" if not source else "no target"
    if source == target:
        return "source and target are the same"
    sizes = sorted((len(source.encode("utf-8", "replace")), len(target.encode("utf-8", "replace"))))
    if sizes[1] > SHORT_BYTES and sizes[1] > MAX_RATIO * sizes[0]:
        return f"one side is {sizes[1] / sizes[0]:.0f} times longer than the other"
    return ""


def _table_rows(path: Path, columns: Columns) -> Iterator[tuple[int, _Row | Unreadable]]:
    names: _Names | None = None

    def look(header: Sequence[str]) -> None:
        nonlocal names
        if NESTED not in header:
            names = _find(path, columns, header)

    unfit: DataError | None = None
    for line, row in read_rows(path, look):
        if isinstance(row, Unreadable):
            yield line, row
            continue
        flat = _flat(row)
        try:
            if names is None:
                names = _find(path, columns, list(flat))
            yield line, _row(path, line, flat, names)
        except Unreadable as e:
            yield line, e
        except DataError as e:
            unfit = e
            yield line, Unreadable(e.problem)
    if unfit and names is None:
        raise unfit


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Put the languages of a nested translation beside the other columns."""
    nested = row.get(NESTED)
    if not isinstance(nested, Mapping):
        return dict(row)
    return {**{k: v for k, v in row.items() if k != NESTED}, **nested}


@dataclass(frozen=True, slots=True)
class _Names:
    source: str
    target: str
    alternatives: str | None
    split: str | None


def _find(path: Path, columns: Columns, header: Sequence[str]) -> _Names:
    where = str(path)
    source = find_column(columns.source, SOURCE_COLUMNS, header, where)
    target = find_column(columns.target, TARGET_COLUMNS, [c for c in header if c != source], where)
    codes = [c for c in header if str(c).strip().lower() in LANGUAGES]
    if len(codes) == 2 and source is None and target in (None, *codes):
        source = next(c for c in codes if c != target)
    if len(codes) == 2 and target is None and source in codes:
        target = next(c for c in codes if c != source)
    for name, column in (("source", source), ("target", target)):
        if column is None:
            raise DataError(
                f"{path} has no column known to hold the {name}; it has: {', '.join(map(str, header))}",
                fix=f"name it: --set train.columns.{name}=NAME",
            )
    if source == target:
        raise DataError(f"{path}: {source} cannot be both source and target", fix="name two columns")
    others = find_column(columns.alternatives, ALTERNATIVE_COLUMNS, header, where)
    return _Names(str(source), str(target), others, find_column(columns.split, SPLIT_COLUMNS, header, where))


def _row(path: Path, line: int, row: Mapping[str, Any], names: _Names) -> _Row:
    texts = []
    for name in (names.source, names.target):
        value = row.get(name)
        if value is not None and not isinstance(value, str):
            raise Unreadable(f"{name} = {value!r} is no text")
        texts.append(" ".join((value or "").split()))
    others = row.get(names.alternatives) if names.alternatives else None
    kept = [" ".join(o.split()) for o in others if isinstance(o, str)] if isinstance(others, list) else []
    split = None
    if names.split:
        split = SPLIT_NAMES.get(str(row.get(names.split)).strip().lower())
        if split is None:
            raise Unreadable(
                f"{names.split} = {row.get(names.split)!r} is no split; use train, validation or test"
            )
    fresh = dict.fromkeys(o for o in kept if o and o != texts[1])
    return _Row(Pair(f"{path.name}:{line}", texts[0], texts[1], tuple(fresh)), split, path.name, line)


def _parallel_rows(path: Path, columns: Columns) -> Iterator[tuple[int, _Row | Unreadable]]:
    """Yield the pairs of two text files of as many lines: the one named, and its sibling."""
    other = _sibling(path)
    ends = object()
    with open_text(path) as sources, open_text(other) as targets:
        for line, (source, target) in enumerate(itertools.zip_longest(sources, targets, fillvalue=ends), 1):
            if not isinstance(source, str) or not isinstance(target, str):
                shorter = path if source is ends else other
                raise DataError(
                    f"{shorter} ends after line {line - 1}, and the file beside it goes on",
                    fix="give two files of as many lines",
                )
            texts = (" ".join(source.split()), " ".join(target.split()))
            yield line, _Row(Pair(f"{path.name}:{line}", *texts), None, path.name, line)


def _sibling(path: Path) -> Path:
    """Return the file of the same name with another language's code at its end."""
    found = [
        p
        for p in sorted(path.parent.glob("*"))
        if p != path and p.is_file() and p.stem == path.stem and p.suffix[1:].lower() in LANGUAGES
    ]
    if len(found) == 1 and path.suffix[1:].lower() in LANGUAGES:
        return found[0]
    raise DataError(
        f"{path} is no table, and beside it {'no' if not found else 'more than one'} file holds translations",
        fix=f"give jsonl, csv, tsv or parquet, or two files such as {path.stem}.en and {path.stem}.de",
    )


def _parts(rows: list[_Row], path: Path, found: Pairs, seed: int) -> dict[str, list[_Row]]:
    """The rows by part, with missing parts carved from train."""
    parts: dict[str, list[_Row]] = {"train": [], "validation": [], "test": []}
    for row in rows:
        parts[row.split or "train"].append(row)
    if not parts["train"]:
        raise DataError(
            f"{path} has no rows for training", fix="mark some rows train in the split column, or drop it"
        )
    if not parts["test"] and parts["validation"]:
        found.warnings.append(
            "there is no test part: the dev part is tested, and validation is carved from train"
        )
        parts["test"], parts["validation"] = parts["validation"], []
    missing = {name: CARVED for name in ("validation", "test") if not parts[name]}
    if missing:
        shares = {"validation": 0.0, "test": 0.0, **missing}
        names = [_same(row.pair.source) for row in parts["train"]]
        part_of = assign(names, seed=seed, **shares)
        carved, parts["train"] = parts["train"], []
        for row, name in zip(carved, names, strict=True):
            parts[part_of[name]].append(row)
    return parts


def _remove_leaks(parts: dict[str, list[_Row]], found: Pairs) -> None:
    """Take out of train what is in validation or test, and out of validation what is in test."""
    for name, judges in (("train", ("validation", "test")), ("validation", ("test",))):
        judged = {_same(row.pair.source): judge for judge in judges for row in parts[judge]}
        kept = []
        for row in parts[name]:
            if judge := judged.get(_same(row.pair.source)):
                found.rejects.append(row.reject(f"the same source is in {judge}"))
                continue
            sources = tuple(s for s in row.pair.other_sources if _same(s) not in judged)
            kept.append(replace(row, pair=replace(row.pair, other_sources=sources)))
        if len(kept) < len(parts[name]):
            found.warnings.append(
                f"{len(parts[name]) - len(kept)} {name} rows were removed: the same source is in "
                f"{' or '.join(judges)}"
            )
        parts[name] = kept


def _same(text: str) -> str:
    return " ".join(text.casefold().split())


def _nothing(path: Path, found: Pairs) -> DataError:
    first = found.rejects[0] if found.rejects else None
    why = f"; the first: line {first['line']}: {first['reason']}" if first else ""
    return DataError(
        f"{path} has no usable pair ({len(found.rejects)} rejected{why})",
        fix="give rows with a source and a target",
    )
