"""Metrics from what each row brings to them: means over rows, and sums that make one number of a corpus.

Every task writes its rows so, and they are then compared, paired, and given intervals in one way.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from luban.errors import DataError
from luban.evaluate.intervals import Floats, Ints, Plan, Statistic, bootstrap

COMBINED: dict[str, str] = {}
"""Metric of a corpus -> "module:function" that makes it of summed parts, (R, k) -> (R,)."""
_CELLS = 4_000_000

Row = Mapping[str, Any]


def scores_of(rows: Sequence[Row], plan: Plan, where: Path | str = "the rows") -> dict[str, dict[str, float]]:
    """Return every metric that the rows bring, with its interval: what a task's facts hold as `metrics`."""
    if not rows:
        raise DataError("there are no rows to score", fix="check the file and the --split")
    found = bootstrap(row_statistic(rows, where), len(rows), plan)
    return {name: score.plain() for name, score in found.items()}


def row_statistic(rows: Sequence[Row], where: Path | str = "the rows") -> Statistic:
    """Return the statistic of all metrics that the rows bring.

    row_statistic([{"id": "1", "score": {"f1": 0.5}}])(np.array([[0, 0]])) -> {"f1": array([0.5])}
    """
    means = _table(rows, "score", where)
    sums = _table(rows, "parts", where)
    if "bits" in rows[0]:
        sums["bits_per_byte"] = _column([(r.get("id"), [r["bits"], r["bytes"]]) for r in rows], where)
    combine = {name: _combination(name, table.shape[1]) for name, table in sums.items()}

    def statistic(drawn: Ints) -> dict[str, Floats]:
        found = {name: table[drawn, 0].mean(-1) for name, table in means.items()}
        return found | {name: combine[name](_summed(table, drawn)) for name, table in sums.items()}

    return statistic


def _table(rows: Sequence[Row], key: str, where: Path | str) -> dict[str, Floats]:
    """Return (n, k) numbers by metric."""
    if isinstance(rows[0].get(key), int | float):  # one score without a name
        rows = [{**row, key: {key: row.get(key)}} for row in rows]
    names = list(rows[0].get(key) or {})
    for row in rows:
        if not isinstance(row.get(key) or {}, Mapping) or list(row.get(key) or {}) != names:
            raise DataError(
                f"{where}: row {row.get('id')} has other metrics than the first, {', '.join(names)}",
                fix="score the rows again",
            )
    return {name: _column([(r.get("id"), r[key][name]) for r in rows], where, name) for name in names}


def _column(values: Sequence[tuple[Any, Any]], where: Path | str, name: str = "bits") -> Floats:
    n = None
    table = []
    for id, value in values:
        numbers = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        if not all(isinstance(v, int | float) and math.isfinite(v) for v in numbers):
            raise DataError(
                f"{where}: {name} of row {id} is {value}, which is no finite number",
                fix="find out why the model gives no score there, and score the rows again",
            )
        n = n or len(numbers)
        if len(numbers) != n:
            raise DataError(
                f"{where}: {name} of row {id} has {len(numbers)} parts, not {n}", fix="score again"
            )
        table.append(numbers)
    return np.array(table, dtype=np.float64)


def _summed(table: Floats, drawn: Ints) -> Floats:
    """Add up the parts of the drawn rows, (n, k) and (R, n) -> (R, k), without holding (R, n, k)."""
    at_once = max(1, _CELLS // (drawn.shape[1] * table.shape[1]))
    parts = [table[drawn[i : i + at_once]].sum(1) for i in range(0, len(drawn), at_once)]
    return np.concatenate(parts)


def _combination(name: str, n_parts: int) -> Callable[[Floats], Floats]:
    if name in COMBINED:
        module, _, function = COMBINED[name].partition(":")
        found: Callable[[Floats], Floats] = getattr(importlib.import_module(module), function)
        return found
    if n_parts == 2:
        return _ratio
    raise DataError(
        f"nothing makes {name} of {n_parts} parts",
        fix="compare by another metric, or with the version that scored",
    )


def _ratio(sums: Floats) -> Floats:
    return np.divide(sums[:, 0], sums[:, 1], out=np.zeros(len(sums)), where=sums[:, 1] != 0)
