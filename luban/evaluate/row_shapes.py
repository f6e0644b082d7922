"""What rows of predictions.jsonl say without naming a score: labels, numbers and texts beside their truth.

Each shape is known by its columns, and makes the statistic that the task itself was scored by.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from luban.errors import DataError
from luban.evaluate.amounts import numbers
from luban.evaluate.intervals import Statistic
from luban.evaluate.many_labels import many_labels
from luban.evaluate.metrics import classification
from luban.evaluate.row_scores import row_statistic

Row = Mapping[str, Any]


def statistic_of(rows: Sequence[Row], where: Path | str) -> Statistic:
    """Return the statistic of rows of any task."""
    columns = set(rows[0])
    for needed, build in SHAPES:
        if needed <= columns:
            return build(rows, where)
    raise DataError(
        f"{where}: the rows hold {', '.join(map(str, rows[0]))}, and none of it is a score",
        fix='let each row bring "score": {"NAME": number}',
    )


def _classes(rows: Sequence[Row], where: Path | str) -> Statistic:
    names = sorted({str(r[key]) for r in rows for key in ("label", "predicted")})
    number = {name: i for i, name in enumerate(names)}
    labels, predicted = (
        np.array([number[str(r[key])] for r in rows], dtype=np.int64) for key in ("label", "predicted")
    )
    confidence = np.array([r["probability"] for r in rows], dtype=np.float64)
    return classification(labels, predicted, len(names), confidence)


def _several_labels(rows: Sequence[Row], where: Path | str) -> Statistic:
    names = sorted({name for r in rows for key in ("expected", "labels") for name in r[key]})
    truth, said = (
        np.array([[name in r[key] for name in names] for r in rows], dtype=np.int64)
        for key in ("expected", "labels")
    )
    return many_labels(truth, said)


def _numbers(rows: Sequence[Row], where: Path | str) -> Statistic:
    truth, said = (np.array([r[key] for r in rows], dtype=np.float64) for key in ("expected", "value"))
    return numbers(truth, said)


def _translations(rows: Sequence[Row], where: Path | str) -> Statistic:
    """The first reference is a row's own translation."""
    counts = importlib.import_module("luban.evaluate.bleu").Counts
    made = counts([r["translation"] for r in rows], [r["references"][:1] for r in rows])
    statistic: Statistic = made.statistic
    return statistic


def _answers(rows: Sequence[Row], where: Path | str) -> Statistic:
    named = [{"id": r["id"], "score": {k: r[k] for k in ("f1", "exact_match")}} for r in rows]
    return row_statistic(named, where)


def _preferences(rows: Sequence[Row], where: Path | str) -> Statistic:
    return row_statistic([{"id": r["line"], "score": {"accuracy": r["correct"]}} for r in rows], where)


SHAPES: tuple[tuple[set[str], Callable[[Sequence[Row], Path | str], Statistic]], ...] = (
    ({"answers", "f1", "exact_match"}, _answers),
    ({"expected", "labels"}, _several_labels),
    ({"expected", "value"}, _numbers),
    ({"translation", "references"}, _translations),
    ({"chosen", "rejected", "correct"}, _preferences),
    ({"score"}, row_statistic),
    ({"parts"}, row_statistic),
    ({"bits", "bytes"}, row_statistic),
    ({"label", "predicted", "probability"}, _classes),
)
"""Columns -> what makes the statistic; the first that fits."""
