"""Class loss against arithmetic done by hand."""

import math

import pytest
import torch

from luban.objectives.classes import classes
from luban.records import IGNORE
from tests.objectives.toys import Fixed, targets_of


def test_rows_add_up_in_nats() -> None:
    loss = classes(Fixed([[0.0, 0.0], [0.0, math.log(3)]]), targets_of([0, 1]))
    assert loss.n_targets == 2
    assert loss.total.item() == pytest.approx(math.log(2) + math.log(4 / 3))


def test_an_ignored_row_is_neither_summed_nor_counted() -> None:
    loss = classes(Fixed([[0.0, 0.0], [0.0, 9.0]]), targets_of([0, IGNORE]))
    assert loss.n_targets == 1
    assert loss.total.item() == pytest.approx(math.log(2))


def test_label_smoothing_spreads_its_share_over_all_classes() -> None:
    logits, smoothing = [[0.0, math.log(3)]], 0.2  # probabilities 1/4 and 3/4
    loss = classes(Fixed(logits), targets_of([1]), label_smoothing=smoothing)
    by_hand = (1 - smoothing / 2) * math.log(4 / 3) + smoothing / 2 * math.log(4)
    assert loss.total.item() == pytest.approx(by_hand)


def test_a_class_counts_by_its_weight() -> None:
    model, weights = Fixed([[0.0, math.log(3)], [0.0, math.log(3)]]), torch.tensor([5.0, 0.5])
    loss = classes(model, targets_of([0, 1]), class_weights=weights)
    assert loss.n_targets == 2
    assert loss.total.item() == pytest.approx(5 * math.log(4) + 0.5 * math.log(4 / 3))
