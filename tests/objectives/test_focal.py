"""Focal loss against arithmetic done by hand."""

import math

import pytest
import torch
from torch.nn import functional as F

from luban.objectives.focal import focal
from luban.records import IGNORE
from tests.objectives.toys import Fixed, targets_of

QUARTERS = [[0.0, math.log(3)]] * 3  # probabilities 1/4 and 3/4


def test_a_sure_row_counts_by_the_square_of_its_doubt() -> None:
    loss = focal(Fixed(QUARTERS), targets_of([0, 1, IGNORE]), gamma=2.0)
    assert loss.n_targets == 2
    assert loss.total.item() == pytest.approx(0.75**2 * math.log(4) + 0.25**2 * math.log(4 / 3))


def test_a_class_counts_by_its_weight() -> None:
    loss = focal(Fixed(QUARTERS), targets_of([0, 1, 1]), gamma=1.0, class_weights=torch.tensor([0.5, 2.0]))
    by_hand = 0.5 * 0.75 * math.log(4) + 2 * (2 * 0.25 * math.log(4 / 3))
    assert loss.total.item() == pytest.approx(by_hand)


def test_gamma_0_is_cross_entropy() -> None:
    scores, targets = [[0.3, -1.2, 2.0], [1.0, 0.0, -1.0]], [2, 1]
    loss = focal(Fixed(scores), targets_of(targets), gamma=0.0)
    torch.testing.assert_close(
        loss.total, F.cross_entropy(torch.tensor(scores), torch.tensor(targets), reduction="sum")
    )


def test_a_certain_row_has_a_finite_slope() -> None:
    model = Fixed([[0.0, 200.0]])
    focal(model, targets_of([1]), gamma=0.5).total.backward()
    assert model.scores.grad.isfinite().all()
