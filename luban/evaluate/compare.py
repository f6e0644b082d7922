"""Two systems on the same rows: is the second better, worse, or not to be told apart?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from luban.errors import DataError
from luban.evaluate.intervals import Difference, Plan, Statistic, paired_bootstrap, ratio_of_sums
from luban.evaluate.metrics import classification
from luban.files import read_jsonl

Verdict = Literal["better", "worse", "not distinguishable"]
PREDICTIONS = "predictions.jsonl"
LOWER_IS_BETTER = ("calibration_error", "bits_per_byte")


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


def compare(first: Path, second: Path, plan: Plan | None = None) -> Comparison:
    """Compare two scores folders that hold predictions for the same rows.

    The verdict is on accuracy (bits per byte for language models): "better" when the whole interval
    of second minus first is on the good side of zero.
    """
    rows_a, rows_b = _read(first), _read(second)
    if [r["id"] for r in rows_a] != [r["id"] for r in rows_b]:
        rows_b = _reorder(rows_a, rows_b, first, second)
    plan = plan or Plan()
    if "bits" in rows_a[0] and "bits" in rows_b[0]:
        statistics = [_bits(rows) for rows in (rows_a, rows_b)]
    else:
        statistics = _classes(rows_a, rows_b, first, second)
    differences = paired_bootstrap(statistics[0], statistics[1], len(rows_a), plan)
    decided_by = next(iter(differences))
    return Comparison(differences, decided_by, verdict(decided_by, differences[decided_by]), len(rows_a))


def verdict(name: str, difference: Difference) -> Verdict:
    """Say on which side of zero the whole interval lies, if on one."""
    if difference.low <= 0 <= difference.high:
        return "not distinguishable"
    return "better" if (difference.value > 0) != (name in LOWER_IS_BETTER) else "worse"


def _read(folder: Path) -> list[dict[str, Any]]:
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
    by_id = {r["id"]: r for r in rows_b}
    only = {r["id"] for r in rows_a} ^ set(by_id)
    if only or len(rows_a) != len(rows_b):
        raise DataError(
            f"{first} and {second} were scored on different rows: {len(rows_a)} and {len(rows_b)}, "
            f"{len(only)} of them in one only, such as {min(only, default='a repeated id')}",
            fix="score both on the same file and split",
        )
    return [by_id[r["id"]] for r in rows_a]


def _classes(
    rows_a: Sequence[dict[str, Any]], rows_b: Sequence[dict[str, Any]], first: Path, second: Path
) -> list[Statistic]:
    for a, b in zip(rows_a, rows_b, strict=True):
        if a.get("label") != b.get("label") or a.get("label") is None:
            raise DataError(
                f"row {a['id']} is labelled {a.get('label')!r} in {first} and {b.get('label')!r} in {second}",
                fix="score both on the same file and split",
            )
    names = sorted({r[key] for r in (*rows_a, *rows_b) for key in ("label", "predicted")})
    number = {name: i for i, name in enumerate(names)}
    statistics = []
    for rows in (rows_a, rows_b):
        labels, predicted = (
            np.array([number[r[key]] for r in rows], dtype=np.int64) for key in ("label", "predicted")
        )
        confidence = np.array([r["probability"] for r in rows], dtype=np.float64)
        statistics.append(classification(labels, predicted, len(names), confidence))
    return statistics


def _bits(rows: Sequence[dict[str, Any]]) -> Statistic:
    bits = np.array([r["bits"] for r in rows], dtype=np.float64)
    n_bytes = np.array([r["bytes"] for r in rows], dtype=np.float64)
    return ratio_of_sums("bits_per_byte", bits, n_bytes)
