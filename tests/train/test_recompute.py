"""Activations computed again: fewer are held, and nothing else changes."""

import copy
import dataclasses
import gc
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from luban.models.build import build_model
from luban.models.cache import Cache
from luban.models.config import TransformerConfig
from luban.models.families import FAMILIES
from luban.models.model import Model
from luban.train.recompute import Mode, blocks, recompute_blocks
from luban.tune.lora import attach
from luban.tune.settings import LoraSettings

FAMILY_NAMES = ("llama", "bert", "t5")
TOKENS = torch.randint(3, 200, (3, 24), generator=torch.Generator().manual_seed(1))
DOCUMENTS = torch.ones_like(TOKENS)
DOCUMENTS[:, 10:] = 2
DOCUMENTS[0, 20:] = 0


def model_of(family: str, **changes: Any) -> Model:
    sizes = {"dim": 32, "n_layers": 2, "n_heads": 4, "ffn_dim": 48, "max_len": 32, "dropout": 0.1}
    model = build_model(FAMILIES[family].config("tiny", vocab_size=200, **(sizes | changes)), seed=1)
    return model.train()


def loss_of(model: Model) -> Tensor:
    torch.manual_seed(5)
    source = {"source": TOKENS.flip(1)} if model.encoder is not None else {}
    return model.hidden(TOKENS, DOCUMENTS, **source).square().sum()


def gradients(model: Model) -> list[Tensor]:
    learning = [p for p in model.parameters() if p.requires_grad]
    loss = loss_of(model)
    found = torch.autograd.grad(loss, learning, allow_unused=True)
    return [loss.detach(), *(g for g in found if g is not None)]


def assert_same(a: list[Tensor], b: list[Tensor]) -> None:
    assert len(a) == len(b)
    assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def held(model: Model, mode: Mode) -> int:
    """Bytes of tensors that exist between the forward pass and the backward pass."""
    recompute_blocks(model, mode)
    gc.freeze()  # only what is made from here on is listed below
    saved: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = loss_of(model)
    for t in gc.get_objects():  # what is kept by choice is hidden from the hooks
        if issubclass(type(t), Tensor):
            saved[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
    gc.unfreeze()
    loss.detach_()
    return sum(saved.values())


@pytest.mark.parametrize("mode", ["selective", "all"])
@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_gradients_are_the_same_bits_with_dropout_documents_and_a_source(family: str, mode: Mode) -> None:
    model = model_of(family)
    expected = gradients(model)
    recompute_blocks(model, mode)
    assert_same(gradients(model), expected)


@pytest.mark.parametrize("mode", ["selective", "all"])
def test_dropped_attention_weights_are_the_same_again(mode: Mode) -> None:
    config = FAMILIES["bert"].config("tiny", vocab_size=200, dim=32, n_heads=4, ffn_dim=48, dropout=0.1)
    assert isinstance(config.trunk, TransformerConfig)
    trunk = dataclasses.replace(config.trunk, attention_dropout=0.2)
    model = build_model(dataclasses.replace(config, trunk=trunk), seed=1).train()
    expected = gradients(model)
    recompute_blocks(model, mode)
    assert_same(gradients(model), expected)


@pytest.mark.parametrize("mode", ["selective", "all"])
def test_adapters_learn_the_same(mode: Mode) -> None:
    model = model_of("llama", dropout=0.0)
    attach(model, LoraSettings(rank=2))
    expected = gradients(model)
    recompute_blocks(model, mode)
    assert_same(gradients(model), expected)


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_less_is_held_and_selective_holds_more_than_all(family: str) -> None:
    model = model_of(family)
    whole, some, few = (held(model, mode) for mode in ("none", "selective", "all"))
    assert few < some < whole


def test_names_of_parameters_stay_and_none_takes_it_away() -> None:
    model = model_of("llama")
    before = list(model.state_dict())
    recompute_blocks(model, "all")
    assert list(model.state_dict()) == before
    assert all("forward" in vars(block) for block in blocks(model))
    recompute_blocks(model, "none")
    assert not any("forward" in vars(block) for block in blocks(model))


def test_a_copy_has_weights_of_its_own() -> None:
    model = model_of("llama", dropout=0.0)
    recompute_blocks(model, "all")
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for p in twin.parameters():
            p.zero_()
    assert loss_of(model) > 0
    assert loss_of(twin) == 0


def test_writing_with_a_cache_goes_on_as_before() -> None:
    model = model_of("llama").eval()
    with torch.no_grad():
        expected = model(TOKENS)
        recompute_blocks(model, "all")
        cache = Cache(model.config, batch_size=3, max_len=24)
        parts = [model(TOKENS[:, :12], None, cache), model(TOKENS[:, 12:], None, cache)]
    torch.testing.assert_close(torch.cat(parts, 1), expected)


def test_recurrent_layers_are_no_blocks() -> None:
    model = build_model(FAMILIES["recurrent"].config("tiny", vocab_size=50, dim=16), seed=1)
    assert not list(blocks(model))
    assert isinstance(next(blocks(model_of("llama"))), nn.Module)
