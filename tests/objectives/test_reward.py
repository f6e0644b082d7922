"""Bradley and Terry's loss by hand."""

from __future__ import annotations

import math

import pytest
import torch

from luban.objectives.reward import reward
from luban.records import Batch
from tests.objectives.toys import Fixed


def test_the_loss_is_how_unsure_the_better_answer_is_to_win() -> None:
    model = Fixed([[2.0], [1.0], [0.0], [3.0]])
    ones = torch.ones(4, 2, dtype=torch.long)
    loss = reward(model, Batch(ones, ones, ones))
    assert loss.n_targets == 2
    assert loss.total.item() == pytest.approx(math.log(1 + math.exp(-1)) + math.log(1 + math.exp(3)))
