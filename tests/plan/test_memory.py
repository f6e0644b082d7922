"""Memory by arithmetic: parameters exact, activations near, changes that save what they promise."""

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor

from luban.config import resolved
from luban.models.build import build_model
from luban.models.config import ModelConfig
from luban.models.families import FAMILIES
from luban.plan.memory import LOGIT_BYTES, Load, disk_bytes, load_of, smaller, what_fits
from luban.tasks.chat_settings import ChatSettings
from luban.tasks.settings import PretrainSettings

SIZES = {"dim": 96, "n_layers": 4, "n_heads": 6, "ffn_dim": 256, "max_len": 128}


def config_of(family: str, **changes: Any) -> ModelConfig:
    return FAMILIES[family].config("tiny", vocab_size=300, **(SIZES | changes))


def load(family: str = "llama", **changes: Any) -> Load:
    given = {k: changes.pop(k) for k in ("dropout",) if k in changes}
    return load_of(config_of(family, **given), resolved(PretrainSettings(**changes)))


@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize("family", ["llama", "bert", "gpt2", "qwen3", "t5", "original"])
def test_what_a_layer_keeps_is_near_what_torch_saves(family: str, dropout: float) -> None:
    config = config_of(family, dropout=dropout)
    made = load_of(config, resolved(PretrainSettings(batch_size=8, context=64)))
    model = build_model(config, seed=1).train()
    assert made.parameters == sum(p.numel() for p in model.parameters())
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    saved: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    tokens = torch.randint(3, 200, (8, 64))
    documents = torch.ones_like(tokens)
    documents[:, 30:] = 2
    source = {"source": tokens} if config.encoder is not None else {}
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        kept = model.hidden(tokens, documents, **source)
    measured = sum(n for place, n in saved.items() if place not in own)
    passing = 4 * 2 * 8 * 64 * 256  # what exists for a moment in the backward pass
    assert 0.85 < (made.memory.activations - passing) / measured < 1.25
    assert kept.requires_grad


def test_optimizers_keep_what_their_rules_need() -> None:
    adamw = load().memory
    assert adamw.gradients == adamw.weights == 4 * load().parameters
    assert adamw.optimizer == 2 * adamw.weights
    assert load(optimizer="sgd").memory.optimizer == adamw.weights
    assert load(optimizer="sgd", momentum=0.0).memory.optimizer == 0
    assert load(optimizer="adafactor").memory.optimizer == 0
    assert adamw.weights < load(optimizer="muon").memory.optimizer < adamw.optimizer


def test_what_does_not_learn_has_no_gradient_and_no_state() -> None:
    some = load(freeze=("trunk.blocks.0.*", "stem.*"))
    assert some.learning < some.parameters == load().parameters
    chat = load_of(config_of("llama"), resolved(ChatSettings()))
    assert chat.adapts
    assert chat.memory.gradients < chat.memory.weights / 2


def test_a_mean_of_weights_is_counted_and_scores_are_bounded() -> None:
    assert load().memory.average == 0
    assert load(ema_decay=0.99).memory.average == load().memory.weights
    config = dataclasses.replace(config_of("llama"), vocab_size=10**6)
    assert load_of(config, resolved(PretrainSettings())).memory.logits == LOGIT_BYTES


def test_computing_again_holds_less() -> None:
    none, some, every = (load(recompute=mode).memory.activations for mode in ("none", "selective", "all"))
    assert every < some < none


def test_the_cheapest_change_that_fits_is_named() -> None:
    made = load(batch_size=8)
    half = next(iter(smaller(made)))[1]
    assert what_fits(made, half.memory.total) == "set batch_size = 4 with n_micro_batches = 2"
    states = made.memory.weights * 4 + made.memory.rest
    assert "recompute" in what_fits(made, states + made.memory.logits)
    assert what_fits(made, 1000) == "take a smaller model, or a machine with more memory"


def test_rows_beyond_all_measure_are_answered_with_smaller_batches_then_shorter_rows() -> None:
    made = load(batch_size=4000, context=100_000)
    states = made.memory.weights * 4 + made.memory.rest + made.memory.logits
    one_row = dataclasses.replace(made, positions=100_000)
    assert what_fits(made, one_row.memory.total) == "set batch_size = 1 with n_micro_batches = 4000"
    told = what_fits(made, states + 20_000_000)
    assert told.startswith("set context = ")
    assert told.endswith("recompute = all, batch_size = 1 with n_micro_batches = 4000")
    odd = load(batch_size=15)
    assert what_fits(odd, next(iter(smaller(odd)))[1].memory.total).startswith("set batch_size = 5 ")


def test_every_change_needs_less_than_the_run_itself() -> None:
    made = load(batch_size=8)
    assert all(changed.memory.total < made.memory.total for _, changed in smaller(made))


def test_the_disk_holds_one_checkpoint_more_than_are_kept() -> None:
    assert disk_bytes(100, 100, 800, False, 2) == 3 * (400 + 800) + 2 * 400 + 400
    assert disk_bytes(100, 10, 80, True, 1) == 2 * (40 + 40 + 80) + 2 * 40 + 400
