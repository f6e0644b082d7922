"""Labelled rows of a table: columns and splits found, bad rows set aside, leaks between splits removed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from luban.data.encoding import Unreadable
from luban.data.near import near_clusters
from luban.data.settings import DedupSettings
from luban.data.split import assign, fold_of
from luban.data.tables import TABLE_SUFFIXES, TEXT_COLUMNS, find_column, read_rows, suffix_of
from luban.errors import DataError
from luban.files import MANIFEST
from luban.records import Example

LABEL_COLUMNS = (
    *("label", "labels", "class", "category", "sentiment", "intent", "target", "topic", "y"),
    *("标签", "类别", "分类", "情感", "标注"),
)
SPLIT_COLUMNS = ("split", "set", "fold", "part", "划分", "数据集")
SPLIT_NAMES = {
    **dict.fromkeys(("train", "training", "训练", "训练集"), "train"),
    **dict.fromkeys(("validation", "valid", "dev", "val", "development", "验证", "验证集"), "validation"),
    **dict.fromkeys(("test", "eval", "evaluation", "testing", "测试", "测试集"), "test"),
}
CARVED = 0.1
"""Share of clusters that becomes the validation or test part where the file has none."""


class Columns(Protocol):
    """Names of the columns; None finds them by their usual names."""

    @property
    def text(self) -> str | None:
        """Column with the text."""

    @property
    def label(self) -> str | None:
        """Column with the label."""

    @property
    def split(self) -> str | None:
        """Column with the split."""


@dataclass(frozen=True, slots=True)
class LabelForm:
    """How a task's rows say what is to be learnt; an Example holds it as text."""

    read: Callable[[object], str]
    """What stands in the label column -> the example's label; "" where it is none."""
    what: str = "label"
    """What the column is said to hold."""
    columns: tuple[str, ...] = LABEL_COLUMNS
    """Usual names of the column."""
    are_classes: bool = True
    """Whether a label is one of a few, which must occur in training, and two of them at least."""
    adapt: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    """Turns a row of another shape into one with a text and a label."""


@dataclass(slots=True)
class Examples:
    """Labelled texts in three parts, and what was found wrong on the way."""

    train: list[Example] = field(default_factory=list)
    validation: list[Example] = field(default_factory=list)
    test: list[Example] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    """Labels of the train part, in order; numbers as numbers."""
    rejects: list[dict[str, Any]] = field(default_factory=list)
    """Rows that are not used: {file, line, reason, text?, label?}."""
    warnings: list[str] = field(default_factory=list)

    def part(self, name: str) -> list[Example]:
        """Return the examples of train, validation or test."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[name]


def read_examples(
    path: Path,
    columns: Columns,
    *,
    eval_path: Path | None = None,
    fold: tuple[int, int] | None = None,
    seed: int = 1,
    form: LabelForm | None = None,
) -> Examples:
    """Read labelled rows from jsonl(.gz), csv, tsv or parquet.

    A split column is followed; `eval_path` is the test part whatever its own column says. Missing
    parts are carved from train by hash, never parting similar texts; a file with train and dev only
    has its dev part tested. `fold` (i, k): validation is the i-th of k parts of all rows that are not
    tested, and train the others.
    """
    found, form = Examples(), form or CLASSES
    rows = _read(path, columns, found, form)
    if eval_path:
        evaluated = _read(eval_path, columns, found, form)
        rows = [row for row in rows if row.split != "test"]
        rows += [replace(row, split="test") for row in evaluated]
    if not rows:
        first = (
            f"; the first: line {found.rejects[0]['line']}: {found.rejects[0]['reason']}"
            if found.rejects
            else ""
        )
        raise DataError(
            f"{path} has no usable row ({len(found.rejects)} rejected{first})",
            fix=f"give rows with a text and a {form.what}",
        )
    parts = _parts(rows, found, seed)
    if fold:
        parts |= _fold(parts["train"] + parts["validation"], *fold, seed)
    _report_conflicts(parts, found)
    _remove_leaks(parts, found)
    found.labels = sorted({r.example.label for r in parts["train"]}, key=label_order)
    if form.are_classes and len(found.labels) < 2:
        only = found.labels[0] if found.labels else "none"
        raise DataError(
            f"{path} has one label only in its train part: {only}",
            fix="give rows of at least two labels, or name the label column: --set train.columns.label=NAME",
        )
    if form.are_classes:
        _set_aside_unseen(parts, found)
    for name, kept in parts.items():
        found.part(name).extend(row.example for row in kept)
    return found


def read_labelled(
    path: Path, columns: Columns, form: LabelForm | None = None
) -> tuple[list[tuple[Example, str | None]], list[dict[str, Any]]]:
    """Read labelled rows as they stand, each with the part it is marked with, and the rejects.

    The part is None where the file has no split column.
    """
    found = Examples()
    rows = _read(path, columns, found, form or CLASSES)
    return [(row.example, row.split) for row in rows], found.rejects


@dataclass(frozen=True, slots=True)
class _Row:
    example: Example
    split: str | None
    file: str
    line: int

    def reject(self, reason: str) -> dict[str, Any]:
        where = {"file": self.file, "line": self.line, "reason": reason}
        return {**where, "text": self.example.text, "label": self.example.label}


def _read(path: Path, columns: Columns, found: Examples, form: LabelForm) -> list[_Row]:
    path = table_in(path)
    if not path.is_file() or suffix_of(path) not in TABLE_SUFFIXES:
        raise DataError(
            f"{path} is not a table of examples",
            fix="give a jsonl, csv, tsv or parquet file (or .gz of the first three)",
        )
    names: tuple[str, str, str | None] | None = None

    def look(header: Sequence[str]) -> None:
        nonlocal names
        if form.adapt is None:
            names = _find_columns(path, columns, header, form)

    rows = []
    unfit: DataError | None = None
    try:
        for line, row in read_rows(path, look):
            try:
                if form.adapt is not None and isinstance(row, dict):
                    row = form.adapt(row)
                if names is None and isinstance(row, dict):  # JSON lines have no header: the first row that
                    names = _find_columns(path, columns, list(row), form)  # has a text and a label is it
                rows.append(_row(path, line, row, names, form))
            except (Unreadable, DataError) as e:
                unfit = e if isinstance(e, DataError) else unfit
                reason = e.problem if isinstance(e, DataError) else str(e)
                found.rejects.append({"file": path.name, "line": line, "reason": reason})
        if unfit and names is None:
            raise unfit
    except Unreadable as e:
        raise DataError(f"{path} cannot be read: {e}", fix="check the file, or save it again") from None
    return rows


def _find_columns(
    path: Path, columns: Columns, header: Sequence[str], form: LabelForm
) -> tuple[str, str, str | None]:
    text = find_column(columns.text, TEXT_COLUMNS, header, str(path))
    label = find_column(columns.label, form.columns, header, str(path))
    split = find_column(columns.split, SPLIT_COLUMNS, header, str(path))
    for name, column in (("text", text), ("label", label)):
        if column is None:
            raise DataError(
                f"{path} has no column known to hold the {form.what if name == 'label' else name}; it has: "
                f"{', '.join(map(str, header))}",
                fix=f"name it: --set train.columns.{name}=NAME",
            )
    return str(text), str(label), split


def _row(path: Path, line: int, row: Any, names: tuple[str, str, str | None] | None, form: LabelForm) -> _Row:
    if isinstance(row, Unreadable) or names is None:
        raise row if isinstance(row, Unreadable) else Unreadable("no columns are known yet")
    text, label, split = (row.get(name) if name else None for name in names)
    if not isinstance(text, str) or not text.strip():
        raise Unreadable(
            f"no text in {names[0]}" if text in (None, "") else f"{names[0]} = {text!r} is no text"
        )
    shown = form.read(label)
    if not shown:
        raise Unreadable(
            f"no {form.what} in {names[1]}"
            if label in (None, "")
            else f"{names[1]} = {label!r} is no {form.what}"
        )
    part = None
    if names[2]:
        part = SPLIT_NAMES.get(str(split).strip().lower())
        if part is None:
            raise Unreadable(f"{names[2]} = {split!r} is no split; use train, validation or test")
    return _Row(Example(f"{path.name}:{line}", text.strip(), shown), part, path.name, line)


def table_in(path: Path) -> Path:
    """Return the path of a table: itself, or rows.* of a folder that `luban data convert` wrote."""
    found = sorted(path.glob("rows.*")) if (path / MANIFEST).is_file() else []
    return found[0] if len(found) == 1 else path


def label_name(value: object) -> str:
    """Return a label as text: 1 and 1.0 → "1", True → "true"; "" for what cannot be a label."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, (int, float)) and value == value:
        return str(value)
    return value.strip() if isinstance(value, str) else ""


CLASSES = LabelForm(read=label_name)
"""One label a text."""


def label_order(label: str) -> tuple[int, float, str]:
    """Return what labels are sorted by: numbers as numbers, before words."""
    try:
        return 0, float(label), label
    except ValueError:
        return 1, 0.0, label


def _parts(rows: list[_Row], found: Examples, seed: int) -> dict[str, list[_Row]]:
    """The rows by part, with missing parts carved from train."""
    parts: dict[str, list[_Row]] = {"train": [], "validation": [], "test": []}
    for row in rows:
        parts[row.split or "train"].append(row)
    if not parts["train"]:
        raise DataError(
            f"{rows[0].file} has no rows for training",
            fix="mark some rows train in the split column, or drop the column",
        )
    if not parts["test"] and parts["validation"]:
        found.warnings.append(
            "there is no test part: the dev part is tested, and validation is carved from train"
        )
        parts["test"], parts["validation"] = parts["validation"], []
    missing = {name: CARVED for name in ("validation", "test") if not parts[name]}
    if missing:
        carved = _carve(parts["train"], missing, seed)
        parts["train"] = carved["train"]
        for name in missing:
            parts[name] = carved[name]
    return parts


def _carve(rows: list[_Row], shares: dict[str, float], seed: int) -> dict[str, list[_Row]]:
    """Part rows by hash, similar texts together."""
    names = _cluster_names(rows)
    if (n_distinct := len(set(names))) <= len(shares):
        raise DataError(
            f"{rows[0].file} has {n_distinct} distinct texts for training: too few to carve "
            f"{' and '.join(shares)}",
            fix="give more rows, or mark the parts in a split column",
        )
    shares = {"validation": 0.0, "test": 0.0, **shares}
    part_of = assign(names, validation=shares["validation"], test=shares["test"], seed=seed)
    carved: dict[str, list[_Row]] = {"train": [], "validation": [], "test": []}
    for row, name in zip(rows, names, strict=True):
        carved[part_of[name]].append(row)
    return carved


def _fold(rows: list[_Row], number: int, folds: int, seed: int) -> dict[str, list[_Row]]:
    """Part rows for cross-validation, similar texts together."""
    names = _cluster_names(rows)
    folded = fold_of(names, folds, seed)
    parts: dict[str, list[_Row]] = {"train": [], "validation": []}
    for row, name in zip(rows, names, strict=True):
        parts["validation" if folded[name] == number else "train"].append(row)
    return parts


def _cluster_names(rows: list[_Row]) -> list[str]:
    """Name the cluster of similar texts that each row is in.

    It is named by its first text rather than its place, so that the rows' order does not matter.
    """
    texts = [row.example.text for row in rows]
    near = near_clusters(texts, DedupSettings())
    first: dict[int, str] = {}
    for text, cluster in zip(texts, near.cluster, strict=True):
        first[cluster] = min(text, first.get(cluster, text))
    return [first[cluster] for cluster in near.cluster]


def _same(text: str) -> str:
    return " ".join(text.casefold().split())


def _report_conflicts(parts: dict[str, list[_Row]], found: Examples) -> None:
    labels: dict[str, set[str]] = {}
    for row in (row for rows in parts.values() for row in rows):
        labels.setdefault(_same(row.example.text), set()).add(row.example.label)
    conflicts = [text for text, seen in labels.items() if len(seen) > 1]
    if conflicts:
        found.warnings.append(
            f"{len(conflicts)} texts carry different labels in different rows, such as {conflicts[0][:60]!r}"
        )


def _remove_leaks(parts: dict[str, list[_Row]], found: Examples) -> None:
    """Take out of train what is in validation or test, and out of validation what is in test."""
    for name, judges in (("train", ("validation", "test")), ("validation", ("test",))):
        judged = {_same(row.example.text): judge for judge in judges for row in parts[judge]}
        kept = []
        for row in parts[name]:
            judge = judged.get(_same(row.example.text))
            if judge:
                found.rejects.append(row.reject(f"the same text is in {judge}"))
            else:
                kept.append(row)
        if len(kept) < len(parts[name]):
            found.warnings.append(
                f"{len(parts[name]) - len(kept)} {name} rows were removed: the same text is in "
                f"{' or '.join(judges)}"
            )
        parts[name] = kept


def _set_aside_unseen(parts: dict[str, list[_Row]], found: Examples) -> None:
    """Set aside rows whose label no training row has: no model could name it."""
    for name in ("validation", "test"):
        unseen = Counter(r.example.label for r in parts[name] if r.example.label not in found.labels)
        if not unseen:
            continue
        found.rejects += [
            row.reject(f"the label {row.example.label} is not in train")
            for row in parts[name]
            if row.example.label in unseen
        ]
        parts[name] = [row for row in parts[name] if row.example.label not in unseen]
        listed = ", ".join(f"{label} ({n})" for label, n in unseen.most_common(5))
        found.warnings.append(f"labels only in {name}, set aside: {listed}")
