"""Scores of predicted numbers: errors and correlations.

Correlations are 0 where one side does not vary. Ranks of equal numbers are their mean, as Spearman's
coefficient wants it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from luban.evaluate.intervals import ratio

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def numbers(truth: Floats, predicted: Floats) -> Callable[[Ints], dict[str, Floats]]:
    """Return the function that intervals resample: row numbers (R, n) -> every score (R,)."""

    def statistic(rows: Ints) -> dict[str, Floats]:
        y, guess = truth[rows], predicted[rows]
        squared = ((y - guess) ** 2).mean(-1)
        spread = ((y - y.mean(-1, keepdims=True)) ** 2).mean(-1)
        return {
            "mean_squared_error": squared,
            "mean_absolute_error": np.abs(y - guess).mean(-1),
            "r_squared": np.where(spread > 0, 1 - ratio(squared, spread), 0.0),
            "pearson": pearson(y, guess),
            "spearman": pearson(ranks(y), ranks(guess)),
        }

    return statistic


def pearson(a: Floats, b: Floats) -> Floats:
    """Return the linear correlation along the last axis: (..., n) twice -> (...)."""
    a, b = (x - x.mean(-1, keepdims=True) for x in (a, b))
    return ratio((a * b).sum(-1), np.sqrt((a * a).sum(-1) * (b * b).sum(-1)))


def ranks(values: Floats) -> Floats:
    """Return the rank of every number along the last axis, from 1; equal ones share their mean rank."""
    flat = values.reshape(-1, values.shape[-1])
    return np.stack([_ranks(row) for row in flat]).reshape(values.shape)


def _ranks(row: Floats) -> Floats:
    _, group, sizes = np.unique(row, return_inverse=True, return_counts=True)
    last = np.cumsum(sizes)
    return (last - (sizes - 1) / 2)[group]
