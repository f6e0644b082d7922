"""Next-token loss against arithmetic done by hand."""

import math

import pytest
import torch

from luban.objectives.next_token import next_token
from luban.records import IGNORE, Batch
from tests.objectives.toys import Toy


def batch_of(tokens: list[list[int]], targets: list[list[int]]) -> Batch:
    tokens_ = torch.tensor(tokens)
    return Batch(tokens_, torch.ones_like(tokens_), torch.tensor(targets))


def test_equal_scores_cost_the_log_of_the_vocabulary_per_supervised_position() -> None:
    loss = next_token(Toy(vocab=4), batch_of([[0, 1, 2]], [[1, IGNORE, 3]]))
    assert loss.n_targets == 2
    assert loss.total.item() == pytest.approx(2 * math.log(4))


def test_a_sure_and_right_score_costs_what_softmax_says() -> None:
    model = Toy(vocab=2, dim=2)
    model.stem.weight.data = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    model.head.weight.data = torch.tensor([[0.0, 0.0], [3.0, 0.0]])  # token 0 -> scores (0, 3)
    loss = next_token(model, batch_of([[0]], [[1]]))
    assert loss.total.item() == pytest.approx(math.log(1 + math.exp(-3)))


def test_documents_reach_the_model() -> None:
    model, batch = Toy(), batch_of([[0, 1]], [[1, 2]])
    next_token(model, batch)
    assert model.seen["documents"] is batch.documents


def test_a_batch_without_targets_adds_nothing_but_keeps_its_gradient() -> None:
    model = Toy()
    loss = next_token(model, batch_of([[0, 1]], [[IGNORE, IGNORE]]))
    loss.total.backward()
    assert loss.n_targets == 0
    assert loss.total.item() == 0
    assert not model.stem.weight.grad.any()
