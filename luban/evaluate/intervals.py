"""Percentile bootstrap: how far a score would move on other rows of the same kind.

A statistic takes row numbers (R, n), one resample a line, and returns every score as (R,).
Sources: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13; for pairs, Koehn,
Statistical Significance Tests for Machine Translation Evaluation, EMNLP 2004.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luban.errors import DataError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Statistic = Callable[[Ints], dict[str, Floats]]
_CELLS = 4_000_000
"""Row numbers drawn at once, so that memory stays flat however many rows there are."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How intervals are made: part of a score's signature."""

    resamples: int = 1000
    confidence: float = 0.95
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Score:
    """A value with its interval over `n` rows: none, where there is one row, however it is drawn again."""

    value: float
    low: float | None
    high: float | None
    n: int

    def plain(self) -> dict[str, Any]:
        """Return the score as JSON data."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Difference:
    """Second system minus first on the same rows, with its interval and two-sided p-value."""

    first: float
    second: float
    value: float
    low: float
    high: float
    p_value: float
    n: int

    def plain(self) -> dict[str, float]:
        """Return the difference as JSON data."""
        return asdict(self)


def interval_text(score: Mapping[str, Any], digits: int = 4) -> str:
    """Write the interval of a plain score for people: "0.8000 to 0.9000"."""
    if score["n"] == 1:
        return "none: one row"
    if score["low"] is None:
        return "none"
    return f"{score['low']:.{digits}f} to {score['high']:.{digits}f}"


def bootstrap(statistic: Statistic, n: int, plan: Plan) -> dict[str, Score]:
    """Return every score of `n` rows with its percentile interval."""
    whole, resampled = _all_rows(statistic, n), _resample(statistic, n, plan)
    scores = {}
    for name, value in whole.items():
        low, high = _percentiles(resampled[name], plan.confidence) if n > 1 else (None, None)
        scores[name] = Score(value, low, high, n)
    return scores


def paired_bootstrap(first: Statistic, second: Statistic, n: int, plan: Plan) -> dict[str, Difference]:
    """Return second minus first for every score both have, each resample drawn once for both."""
    a, b = _all_rows(first, n), _all_rows(second, n)
    drawn_a, drawn_b = _resample(first, n, plan), _resample(second, n, plan)
    differences = {}
    for name in a:
        if name in b:
            moved = drawn_b[name] - drawn_a[name]
            low, high = _percentiles(moved, plan.confidence)
            differences[name] = Difference(a[name], b[name], b[name] - a[name], low, high, _p_value(moved), n)
    return differences


def ratio(above: NDArray[Any], below: NDArray[Any]) -> Floats:
    """Return above / below, and 0 where below is 0."""
    return np.divide(above, below, out=np.zeros(np.shape(above), np.float64), where=np.asarray(below) != 0)


def apart_bootstrap(
    first: Statistic, second: Statistic, sizes: tuple[int, int], plan: Plan
) -> dict[str, Difference]:
    """Return second minus first where each has rows of its own, of these numbers, drawn apart."""
    n_first, n_second = sizes
    a, b = _all_rows(first, n_first), _all_rows(second, n_second)
    drawn_a = _resample(first, n_first, plan)
    drawn_b = _resample(second, n_second, replace(plan, seed=plan.seed + 1))
    differences = {}
    for name in (name for name in a if name in b):
        moved = drawn_b[name] - drawn_a[name]
        low, high = _percentiles(moved, plan.confidence)
        least = min(sizes)
        differences[name] = Difference(a[name], b[name], b[name] - a[name], low, high, _p_value(moved), least)
    return differences


def ratio_of_sums(name: str, above: Floats, below: Floats) -> Statistic:
    """Return the statistic sum(above) / sum(below), such as bits over bytes of documents."""
    return lambda rows: {name: above[rows].sum(-1) / below[rows].sum(-1)}


def signature(metric: str, n: int, plan: Plan, split: str, data_hash: str) -> str:
    """Return one line with all that decides a score; another metric's line differs in its name only."""
    from luban import __version__

    parts: dict[str, Any] = {
        "n": n,
        "boot": plan.resamples,
        "ci": plan.confidence,
        "seed": plan.seed,
        "luban": __version__,
        "split": split,
        "data": data_hash[:12],
    }
    return "|".join([metric, *(f"{key}:{value}" for key, value in parts.items())])


def _all_rows(statistic: Statistic, n: int) -> dict[str, float]:
    if n == 0:
        raise DataError("there are no rows to score", fix="check the file and the --split")
    return {name: float(value[0]) for name, value in statistic(np.arange(n)[None]).items()}


def _resample(statistic: Statistic, n: int, plan: Plan) -> dict[str, Floats]:
    parts = [statistic(rows) for rows in _draws(n, plan)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _draws(n: int, plan: Plan) -> Iterator[Ints]:
    generator = np.random.default_rng(plan.seed)
    at_once = max(1, _CELLS // n)
    for start in range(0, plan.resamples, at_once):
        yield generator.integers(0, n, size=(min(at_once, plan.resamples - start), n))


def _percentiles(values: Floats, confidence: float) -> tuple[float, float]:
    outside = (1 - confidence) / 2
    low, high = np.quantile(values, [outside, 1 - outside])
    return float(low), float(high)


def _p_value(moved: Floats) -> float:
    """Return twice the share of resamples on the rarer side of zero; never exactly 0."""
    rarer = min(int((moved <= 0).sum()), int((moved >= 0).sum()))
    return min(1.0, 2 * (rarer + 1) / (len(moved) + 1))
