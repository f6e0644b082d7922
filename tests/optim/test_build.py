"""Which parameter is moved by which rule, and how far."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from luban.errors import ConfigError
from luban.models.build import build_model
from luban.models.families import FAMILIES
from luban.models.model import Model
from luban.optim.build import build_optimizer
from luban.train.settings import TrainSettings
from luban.tune.lora import attach
from luban.tune.settings import LoraSettings


def tiny(family: str, **changes: Any) -> Model:
    sizes = {"dim": 16, "n_layers": 1} | changes
    return build_model(FAMILIES[family].config("tiny", vocab_size=11, **sizes))


def moved_by_muon(model: nn.Module) -> set[str]:
    optimizer = build_optimizer(model, TrainSettings(optimizer="muon"))
    chosen = {id(p) for group in optimizer.param_groups if "ns_steps" in group for p in group["params"]}
    return {name for name, p in model.named_parameters() if id(p) in chosen}


def test_decay_shrinks_weights_whatever_the_gradient_and_spares_biases() -> None:
    model = nn.Linear(2, 2)
    nn.init.ones_(model.weight)
    nn.init.ones_(model.bias)
    optimizer = build_optimizer(model, TrainSettings(lr=0.5, weight_decay=0.1))
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    torch.testing.assert_close(model.weight.data, torch.full((2, 2), 1 - 0.5 * 0.1))
    torch.testing.assert_close(model.bias.data, torch.ones(2))


def test_betas_come_from_the_settings() -> None:
    optimizer = build_optimizer(nn.Linear(2, 2), TrainSettings(beta1=0.8, beta2=0.9))
    assert optimizer.param_groups[0]["betas"] == (0.8, 0.9)


@pytest.mark.parametrize("family", ["gpt2", "llama", "bert", "t5"])
def test_muon_moves_the_products_of_attention_and_mlp_and_nothing_else(family: str) -> None:
    model = tiny(family)
    products = (
        ".q.weight",
        ".k.weight",
        ".v.weight",
        ".out.weight",
        ".up.weight",
        ".down.weight",
        ".gate.weight",
    )
    assert moved_by_muon(model) == {n for n, _ in model.named_parameters() if n.endswith(products)}


def test_muon_moves_a_recurrent_trunks_matrices() -> None:
    model = tiny("recurrent")
    found = moved_by_muon(model)
    assert found == {n for n, p in model.named_parameters() if n.startswith("trunk") and p.ndim == 2}
    assert found


def test_muon_leaves_adapters_alone_and_says_where_there_is_nothing_else() -> None:
    model = tiny("gpt2")
    attach(model, LoraSettings(rank=2))
    with pytest.raises(ConfigError, match="muon has no matrix to train"):
        build_optimizer(model, TrainSettings(optimizer="muon"))
    model.trunk.requires_grad_(True)
    assert not [name for name in moved_by_muon(model) if "lora" in name]


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd", "adafactor", "muon"])
def test_every_parameter_that_learns_has_one_rule_and_the_settings_decay(optimizer: Any) -> None:
    model = tiny("gpt2")
    groups = build_optimizer(model, TrainSettings(optimizer=optimizer, weight_decay=0.2)).param_groups
    held = [id(p) for group in groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in model.parameters())
    decays = {group.get("decay", group["weight_decay"]) for group in groups if group["penalised"]}
    assert decays == {0.2}


def test_embeddings_decay_on_demand() -> None:
    model = nn.Embedding(3, 2)
    nn.init.ones_(model.weight)
    for is_on, expected in ((False, 1.0), (True, 1 - 0.5 * 0.1)):
        nn.init.ones_(model.weight)
        settings = TrainSettings(lr=0.5, weight_decay=0.1, decay_embeddings=is_on)
        optimizer = build_optimizer(model, settings)
        model.weight.grad = torch.zeros_like(model.weight)
        optimizer.step()
        torch.testing.assert_close(model.weight.data, torch.full((3, 2), expected))
