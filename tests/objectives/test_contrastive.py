"""InfoNCE against arithmetic done by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from luban.objectives.contrastive import contrastive
from luban.records import IGNORE, Batch

EAST, NORTH, SLANTED = [1.0, 0.0], [0.0, 1.0], [0.6, 0.8]


class Vectors(nn.Module):
    """The vector of a text is that of its first token."""

    def __init__(self) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.tensor([EAST, NORTH, SLANTED]))

    def forward(self, tokens: Tensor, documents: Tensor) -> Tensor:
        return self.vectors[tokens[:, 0]]


def pairs(queries: list[int], passages: list[int], targets: list[int]) -> Batch:
    q, p = torch.tensor(queries)[:, None], torch.tensor(passages)[:, None]
    return Batch(q, torch.ones_like(q), torch.tensor(targets), (), p, torch.ones_like(p))


def test_the_other_passages_of_the_batch_are_the_negatives() -> None:
    model = Vectors()
    loss = contrastive(model, pairs([0, 1], [0, 2], [0, 1]), temperature=0.5)
    first = -math.log(math.exp(2) / (math.exp(2) + math.exp(1.2)))  # cosines 1 and 0.6, doubled
    second = -math.log(math.exp(1.6) / (math.exp(0) + math.exp(1.6)))  # cosines 0 and 0.8
    assert loss.n_targets == 2
    assert loss.total.item() == pytest.approx(first + second)
    loss.total.backward()
    assert model.vectors.grad.any()


def test_queries_may_share_a_passage_and_rows_beyond_are_negatives() -> None:
    loss = contrastive(Vectors(), pairs([0, 0, 1], [0, 1], [0, 0, IGNORE]), temperature=1.0)
    assert loss.n_targets == 2
    assert loss.total.item() == pytest.approx(2 * math.log(1 + math.exp(-1)))


def test_a_higher_temperature_makes_scores_flatter() -> None:
    losses = [
        contrastive(Vectors(), pairs([0], [0, 1], [0]), temperature=t).total.item() for t in (0.1, 1, 9)
    ]
    assert losses == sorted(losses)
    assert losses[-1] < math.log(2)
