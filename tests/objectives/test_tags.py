"""Tag loss against arithmetic done by hand."""

import math

import pytest

from luban.objectives.tags import tags
from luban.records import IGNORE
from tests.objectives.toys import Fixed, targets_of

SCORES = [[[0.0, 0.0], [0.0, math.log(3)], [9.0, 0.0]]]


def test_supervised_tokens_add_their_nats() -> None:
    loss = tags(Fixed(SCORES), targets_of([[1, 0, IGNORE]], width=3))
    assert loss.n_targets == 2
    assert loss.total.item() == pytest.approx(math.log(2) + math.log(4))


def test_label_smoothing_spreads_its_share_over_all_tags() -> None:
    loss = tags(Fixed(SCORES), targets_of([[IGNORE, 1, IGNORE]], width=3), label_smoothing=0.2)
    assert loss.total.item() == pytest.approx(0.9 * math.log(4 / 3) + 0.1 * math.log(4))
