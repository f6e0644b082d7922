"""Which parameters decay and how fast they learn."""

import pytest
from torch import nn

from luban.errors import ConfigError
from luban.optim.groups import parameter_groups


def small() -> nn.Module:
    return nn.ModuleDict(
        {"stem": nn.Embedding(7, 4), "linear": nn.Linear(4, 4), "norm": nn.LayerNorm(4), "rnn": nn.LSTM(4, 4)}
    )


def decays(model: nn.Module, **options: object) -> dict[str, float]:
    names = {id(p): name for name, p in model.named_parameters()}
    groups = parameter_groups(model, 0.1, **options)
    return {names[id(p)]: group["weight_decay"] for group in groups for p in group["params"]}


def test_matrices_decay_and_nothing_else() -> None:
    found = decays(small())
    assert {name for name, decay in found.items() if decay} == {
        "linear.weight",
        "rnn.weight_ih_l0",
        "rnn.weight_hh_l0",
    }
    assert len(found) == len(list(small().parameters()))


def test_a_head_that_shares_the_embedding_does_not_decay() -> None:
    model = nn.ModuleDict({"head": nn.Linear(4, 7, bias=False), "stem": nn.Embedding(7, 4)})
    model["head"].weight = model["stem"].weight
    assert decays(model) == {"head.weight": 0.0}


def test_frozen_parameters_are_left_out() -> None:
    model = small()
    model["linear"].requires_grad_(False)
    assert not [name for name in decays(model) if name.startswith("linear")]


def test_a_model_frozen_whole_is_an_error() -> None:
    with pytest.raises(ConfigError, match="every parameter is frozen"):
        parameter_groups(small().requires_grad_(False), 0.1)


def test_the_scale_follows_the_name() -> None:
    model = small()
    groups = parameter_groups(model, 0.1, lr_scale=lambda name: 10.0 if name.startswith("linear") else 0.5)
    fast = [p for g in groups if g["lr_scale"] == 10.0 for p in g["params"]]
    assert {id(p) for p in fast} == {id(p) for p in model["linear"].parameters()}
    assert {g["lr_scale"] for g in groups} == {10.0, 0.5}
