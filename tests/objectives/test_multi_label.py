"""Binary cross-entropy against arithmetic done by hand."""

import math

import pytest
import torch

from luban.objectives.multi_label import multi_label
from luban.records import IGNORE
from tests.objectives.toys import Fixed, targets_of

SCORES = [[0.0, math.log(3)], [math.log(3), -math.log(3)]]  # probabilities 1/2 3/4, 3/4 1/4


def test_every_label_of_every_row_adds_its_nats() -> None:
    loss = multi_label(Fixed(SCORES), targets_of([[1, 0], [1, 1]]))
    assert loss.n_targets == 4
    assert loss.total.item() == pytest.approx(math.log(2) + math.log(4) + math.log(4 / 3) + math.log(4))


def test_an_unknown_label_is_neither_summed_nor_counted() -> None:
    model = Fixed(SCORES)
    loss = multi_label(model, targets_of([[IGNORE, 0], [IGNORE, IGNORE]]))
    assert loss.n_targets == 1
    assert loss.total.item() == pytest.approx(math.log(4))
    loss.total.backward()
    assert model.scores.grad.count_nonzero() == 1


def test_a_weight_counts_where_the_label_is_there() -> None:
    loss = multi_label(Fixed(SCORES), targets_of([[1, 0], [0, 1]]), positive_weights=torch.tensor([3.0, 5.0]))
    by_hand = 3 * math.log(2) + math.log(4) + math.log(4) + 5 * math.log(4)
    assert loss.total.item() == pytest.approx(by_hand)
