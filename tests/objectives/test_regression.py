"""Squared error against arithmetic done by hand."""

import math

import pytest

from luban.objectives.regression import regression
from tests.objectives.toys import Fixed, targets_of


def test_errors_are_squared_and_summed() -> None:
    loss = regression(Fixed([[1.0], [-2.0]]), targets_of([0.5, 1.0]))
    assert loss.n_targets == 2
    assert loss.total.item() == pytest.approx(0.5**2 + 3**2)


def test_a_row_may_have_several_numbers_and_some_unknown() -> None:
    model = Fixed([[1.0, 2.0], [3.0, 4.0]])
    loss = regression(model, targets_of([[0.0, math.nan], [math.nan, 2.0]]))
    assert loss.n_targets == 2
    assert loss.total.item() == pytest.approx(1 + 4)
    loss.total.backward()
    assert model.scores.grad.tolist() == [[2.0, 0.0], [0.0, 4.0]]
