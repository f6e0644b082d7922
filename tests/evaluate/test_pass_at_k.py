"""pass@k against counting every draw."""

from __future__ import annotations

import math
from itertools import combinations

import pytest

from luban.errors import ConfigError
from luban.evaluate.intervals import Plan
from luban.evaluate.pass_at_k import pass_at_k, scores_of_problem
from luban.evaluate.row_scores import scores_of


@pytest.mark.parametrize("n", [1, 2, 5, 7])
def test_it_is_the_share_of_draws_that_hold_a_right_one(n: int) -> None:
    for n_right in range(n + 1):
        for k in range(1, n + 1):
            draws = list(combinations([i < n_right for i in range(n)], k))
            assert pass_at_k(n, n_right, k) == pytest.approx(sum(map(any, draws)) / len(draws), abs=1e-12)


def test_it_is_exact_where_the_binomials_do_not_fit_a_float() -> None:
    n, n_right, k = 5000, 700, 100
    exact = 1 - math.comb(n - n_right, k) / math.comb(n, k)  # integers, divided once
    assert pass_at_k(n, n_right, k) == pytest.approx(exact, rel=1e-9)
    assert pass_at_k(10**5, 1, 10) == pytest.approx(1e-4, rel=1e-9)


def test_one_sample_is_right_or_not() -> None:
    assert pass_at_k(1, 1, 1) == 1
    assert pass_at_k(1, 0, 1) == 0


@pytest.mark.parametrize(("n", "n_right", "k"), [(5, 6, 1), (5, 0, 6), (5, 0, 0), (0, 0, 1), (5, -1, 1)])
def test_what_cannot_be_told_is_refused(n: int, n_right: int, k: int) -> None:
    with pytest.raises(ConfigError, match="draw at least k samples"):
        pass_at_k(n, n_right, k)


def test_the_interval_is_over_problems() -> None:
    rows = [{"id": str(i), "score": scores_of_problem([i % 2 == 0] * 4, (1, 2))} for i in range(40)]
    found = scores_of(rows, Plan())
    assert found["pass@1"]["value"] == found["pass@2"]["value"] == 0.5
    assert found["pass@1"]["n"] == 40
    assert 0.3 < found["pass@1"]["low"] < 0.4 < 0.6 < found["pass@1"]["high"] < 0.7
