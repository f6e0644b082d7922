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


def test_of_several_answers_the_likelihood_of_any_counts() -> None:
    # answers (1, 2) and (2, 0): start 2/8 and 5/8, end 6/8 and 1/8 -> 12/64 + 5/64
    batch = targets_of([[1, 2, 2, 0]], width=3)
    loss = spans(Fixed(SCORES), batch)
    assert loss.n_targets == 2
    assert loss.total.item() == pytest.approx(-math.log(17 / 64))
    padded = spans(Fixed(SCORES), targets_of([[1, 2, IGNORE, IGNORE]], width=3))
    assert padded.total.item() == pytest.approx(
        spans(Fixed(SCORES), targets_of([[1, 2]], width=3)).total.item()
    )


def test_two_halves_of_a_batch_add_up_to_the_whole() -> None:
    whole = spans(Fixed(SCORES * 2), targets_of([[1, 2, 0, 0], [2, 2, IGNORE, IGNORE]], width=3))
    parts = [spans(Fixed(SCORES), targets_of([t], width=3)) for t in ([1, 2, 0, 0], [2, 2])]
    assert whole.total.item() == pytest.approx(sum(p.total.item() for p in parts))
    assert whole.n_targets == sum(p.n_targets for p in parts)
