"""Penalties, against the gradient of the loss that has them."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from luban.optim.groups import parameter_groups
from luban.optim.penalties import add_penalties


def toy() -> nn.Module:
    model = nn.ModuleDict({"used": nn.Linear(3, 2), "unused": nn.Linear(3, 2)})
    with torch.no_grad():
        model["used"].weight[0, 0] = 0.0  # where the absolute value has no slope
    return model


def loss(model: nn.Module) -> torch.Tensor:
    return model["used"](torch.tensor([[1.0, -2.0, 3.0]])).pow(2).sum()  # type: ignore[index]


@pytest.mark.parametrize(("l1", "l2"), [(0.3, 0.0), (0.0, 0.2), (0.3, 0.2), (0.0, 0.0)])
def test_gradients_are_those_of_the_penalised_loss(l1: float, l2: float) -> None:
    model = toy()
    theirs = copy.deepcopy(model)
    loss(model).backward()
    add_penalties(parameter_groups(model, 0.0), l1, l2)
    weight = theirs["used"].weight
    (loss(theirs) + l1 * weight.abs().sum() + l2 / 2 * weight.pow(2).sum()).backward()
    for ours, other in zip(model["used"].parameters(), theirs["used"].parameters(), strict=True):
        torch.testing.assert_close(ours.grad, other.grad)


def test_a_parameter_that_no_gradient_reached_stays_without() -> None:
    model = toy()
    loss(model).backward()
    add_penalties(parameter_groups(model, 0.1), 0.3, 0.2)
    assert all(p.grad is None for p in model["unused"].parameters())


def test_penalties_fall_on_matrices_also_where_nothing_decays() -> None:
    groups = parameter_groups(toy(), 0.0)
    assert {p.ndim: g["penalised"] for g in groups for p in g["params"]} == {2: True, 1: False}
    assert {g["weight_decay"] for g in groups} == {0.0}


def test_embeddings_are_penalised_only_on_demand() -> None:
    model = nn.Embedding(5, 2)
    assert [g["penalised"] for g in parameter_groups(model, 0.1)] == [False]
    assert [g["penalised"] for g in parameter_groups(model, 0.1, decay_embeddings=True)] == [True]
