"""Span loss against arithmetic done by hand."""

import math
from dataclasses import replace

import pytest
import torch

from luban.objectives.spans import spans
from luban.records import IGNORE
from tests.objectives.toys import Fixed, targets_of

START, END = [0.0, math.log(2), math.log(5)], [0.0, 0.0, math.log(6)]  # eighths: 1 2 5 and 1 1 6
SCORES = [[list(pair) for pair in zip(START, END, strict=True)]]


def test_start_and_end_add_their_nats() -> None:
    loss = spans(Fixed(SCORES), targets_of([[1, 2]], width=3))
    assert loss.n_targets == 2
    assert loss.total.item() == pytest.approx(math.log(8 / 2) + math.log(8 / 6))


def test_padding_is_never_an_answer() -> None:
    batch = replace(targets_of([[1, 0]], width=3), documents=torch.tensor([[1, 1, 0]]))
    assert spans(Fixed(SCORES), batch).total.item() == pytest.approx(math.log(3 / 2) + math.log(2))


def test_a_row_without_an_answer_is_neither_summed_nor_counted() -> None:
    loss = spans(Fixed(SCORES * 2), targets_of([[1, 2], [IGNORE, IGNORE]], width=3))
    assert loss.n_targets == 2
    assert loss.total.item() == pytest.approx(math.log(4) + math.log(8 / 6))
