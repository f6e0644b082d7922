"""Errors and correlations of numbers are scipy's and scikit-learn's."""

import numpy as np
import pytest

from luban.evaluate.amounts import numbers, ranks


def test_every_score_is_the_libraries_on_any_rows():
    stats, metrics = pytest.importorskip("scipy.stats"), pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    truth = np.round(rng.normal(size=30), 1)  # with ties
    guess = np.round(truth + rng.normal(size=30), 1)
    rows = np.stack([np.arange(30), rng.integers(0, 30, 30)])
    ours = numbers(truth, guess)(rows)
    for i, some in enumerate(rows):
        y, p = truth[some], guess[some]
        want = {
            "mean_squared_error": metrics.mean_squared_error(y, p),
            "mean_absolute_error": metrics.mean_absolute_error(y, p),
            "r_squared": metrics.r2_score(y, p),
            "pearson": stats.pearsonr(y, p).statistic,
            "spearman": stats.spearmanr(y, p).statistic,
        }
        assert {name: v[i] for name, v in ours.items()} == pytest.approx(want)


def test_equal_numbers_share_their_rank():
    assert ranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [3.5, 1.0, 3.5, 2.0]


def test_one_row_or_no_spread_correlates_with_nothing():
    scores = numbers(np.array([2.0]), np.array([5.0]))(np.array([[0]]))
    assert scores["pearson"] == scores["spearman"] == scores["r_squared"] == 0
    assert scores["mean_squared_error"] == 9
