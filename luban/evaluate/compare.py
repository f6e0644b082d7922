"""Two systems on the same rows: is the second better, worse, or not to be told apart?

It reads predictions.jsonl of two scores folders. Whatever the task, a row there says how it counts:

- "id": what the row is called in both folders.
- "score": {"f1": 0.8, "exact_match": 0}: the value of each metric that is a mean over the rows.
- "parts": {"bleu": [12, 9, ...]}: of each metric of the whole corpus, numbers that add up over the rows.
  Two are read as above and below a ratio; for more, COMBINED names what makes the metric of the sums.
- "label", "predicted", "probability": a class; "bits", "bytes": a text of a language model; and other
  shapes of row_shapes.py, such as "translation" and "references".

The metric named first decides, unless the caller names another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from luban.config import nearest
from luban.errors import DataError
from luban.evaluate.intervals import Difference, Plan, paired_bootstrap
from luban.evaluate.row_shapes import statistic_of
from luban.files import read_jsonl
from luban.records import LOWER_IS_BETTER

Verdict = Literal["better", "worse", "not distinguishable"]
PREDICTIONS = "predictions.jsonl"


@dataclass(frozen=True, slots=True)
class Comparison:
    """The differences by score, and the verdict on the one that decides."""

    differences: dict[str, Difference]
    decided_by: str
    verdict: Verdict
    n: int

    def plain(self) -> dict[str, Any]:
        """Return the comparison as JSON data."""
        metrics = {name: d.plain() for name, d in self.differences.items()}
        return {"metrics": metrics, "decided_by": self.decided_by, "verdict": self.verdict, "n": self.n}


def compare(first: Path, second: Path, plan: Plan | None = None, by: str | None = None) -> Comparison:
    """Compare two scores folders that hold predictions for the same rows.

    The verdict is on the metric `by`, or on the first: accuracy for classes. "better" when the whole
    interval of second minus first is on the good side of zero.
    """
    rows_a, rows_b = read_predictions(first), read_predictions(second)
    if [name_of(r) for r in rows_a] != [name_of(r) for r in rows_b]:
        rows_b = _reorder(rows_a, rows_b, first, second)
    _check_truth(rows_a, rows_b, first, second)
    statistics = [
        statistic_of(rows, folder / PREDICTIONS) for rows, folder in ((rows_a, first), (rows_b, second))
    ]
    differences = paired_bootstrap(statistics[0], statistics[1], len(rows_a), plan or Plan())
    if not differences:
        raise DataError(
            f"{first} and {second} have no metric in common", fix="score both for the same task, on one file"
        )
    decided_by = by or next(iter(differences))
    if decided_by not in differences:
        raise DataError(f"the rows have no metric {decided_by}", fix=nearest(decided_by, list(differences)))
    return Comparison(differences, decided_by, verdict(decided_by, differences[decided_by]), len(rows_a))


def verdict(name: str, difference: Difference) -> Verdict:
    """Say on which side of zero the whole interval lies, if on one; one row alone decides nothing."""
    if difference.n == 1 or difference.low <= 0 <= difference.high:
        return "not distinguishable"
    return "better" if (difference.value > 0) != (name in LOWER_IS_BETTER) else "worse"


def name_of(row: Mapping[str, Any]) -> str:
    """Return what a row is called: its id, or its line."""
    return str(row.get("id", row.get("line")))


def read_predictions(folder: Path) -> list[dict[str, Any]]:
    """Return the rows of a scores folder."""
    path = folder / PREDICTIONS
    if not path.is_file():
        raise DataError(
            f"{folder} holds no {PREDICTIONS}, so it is not a folder of scores",
            fix="make one with `luban evaluate MODEL DATA --out SCORES`, or give the data too",
        )
    rows = list(read_jsonl(path))
    if not rows:
        raise DataError(f"{path} is empty", fix="score at least one row")
    return rows


def _reorder(
    rows_a: Sequence[dict[str, Any]], rows_b: Sequence[dict[str, Any]], first: Path, second: Path
) -> list[dict[str, Any]]:
    by_id = {name_of(r): r for r in rows_b}
    only = {name_of(r) for r in rows_a} ^ set(by_id)
    if only or len(rows_a) != len(rows_b):
        raise DataError(
            f"{first} and {second} were scored on different rows: {len(rows_a)} and {len(rows_b)}, "
            f"{len(only)} of them in one only, such as {min(only, default='a repeated id')}",
            fix="score both on the same file and split",
        )
    return [by_id[name_of(r)] for r in rows_a]


def _check_truth(
    rows_a: Sequence[dict[str, Any]], rows_b: Sequence[dict[str, Any]], first: Path, second: Path
) -> None:
    for a, b in zip(rows_a, rows_b, strict=True):
        for key in ("label", "expected"):
            if a.get(key) != b.get(key):
                raise DataError(
                    f"row {name_of(a)} is labelled {a.get(key)!r} in {first} and {b.get(key)!r} in {second}",
                    fix="score both on the same file and split",
                )
