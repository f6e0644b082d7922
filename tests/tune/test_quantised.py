"""Matrices in fewer bits: how far they may be off, what they take, and that only adapters learn."""

from typing import Any

import pytest
import torch

from luban.errors import ConfigError
from luban.tune.lora import adapted, detach, merge, unmerge
from luban.tune.quantised import (
    BLOCK,
    NF4,
    Packed,
    PackedLinear,
    PackedLoraLinear,
    attach_qlora,
    pack_linears,
    packed_bytes,
    unpack_linears,
)  # fmt: skip
from luban.tune.settings import LoraSettings, QuantiseSettings

GAPS = {"int8": 1 / 254, "nf4": max(b - a for a, b in zip(NF4, NF4[1:], strict=False)) / 2}
BITS = {"int8": 8.5, "nf4": 4.5}


def matrix(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


def quantised(tiny: Any, bits: Any, **settings: Any) -> Any:
    model = tiny("llama")
    attach_qlora(model, LoraSettings(rank=2, **settings), QuantiseSettings(bits=bits))
    with torch.no_grad():
        for layer in adapted(model).values():
            layer.lora_b.normal_(std=0.1, generator=torch.Generator().manual_seed(1))
    return model


@pytest.mark.parametrize("bits", ["int8", "nf4"])
@pytest.mark.parametrize("shape", [(48, 64), (7, 13), (1, 1)])
def test_each_number_is_off_by_half_a_step_of_its_block_at_most(bits: str, shape: Any) -> None:
    weight = matrix(*shape)
    weight[0, 0] = 9.0  # a large one spoils its own block alone
    found = Packed(weight, bits).floats()
    assert found.shape == weight.shape
    padded = torch.nn.functional.pad(weight.flatten(), (0, -weight.numel() % BLOCK)).view(-1, BLOCK)
    most = padded.abs().amax(1, keepdim=True).expand_as(padded).flatten()[: weight.numel()].view(shape)
    assert ((found - weight).abs() <= most * GAPS[bits] + 1e-6).all()


@pytest.mark.parametrize("bits", ["int8", "nf4"])
def test_what_the_codes_can_say_comes_back_exactly(bits: str) -> None:
    once = Packed(matrix(8, 64), bits).floats()
    torch.testing.assert_close(Packed(once, bits).floats(), once, rtol=1e-6, atol=1e-7)
    assert torch.equal(Packed(torch.zeros(3, 5), bits).floats(), torch.zeros(3, 5))


@pytest.mark.parametrize("bits", ["int8", "nf4"])
def test_the_memory_is_really_saved(bits: str, tiny: Any) -> None:
    model = tiny("llama", dim=64, n_heads=4, ffn_dim=128)
    n = sum(p.numel() for name, p in model.named_parameters() if "blocks" in name and p.ndim == 2)
    pack_linears(model, QuantiseSettings(bits=bits))
    assert packed_bytes(model) == n * BITS[bits] / 8
    assert not [name for name, p in model.named_parameters() if "blocks" in name and p.ndim == 2]
    assert {m.packed.codes.dtype for m in model.modules() if isinstance(m, PackedLinear)} <= {
        torch.int8, torch.uint8,
    }  # fmt: skip


@pytest.mark.parametrize("bits", ["int8", "nf4"])
def test_scores_and_gradients_are_those_of_the_unpacked_floats(bits: str, tiny: Any, tokens: Any) -> None:
    model = quantised(tiny, bits)
    found = model(tokens(2, 9))
    found.square().sum().backward()
    gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    assert gradients.keys() == {n for n, p in model.named_parameters() if p.requires_grad}
    assert all("lora_" in name for name in gradients)
    for layer in adapted(model).values():  # the same by torch's own gradients
        floats = layer.packed.floats()
        layer.forward = lambda x, m=layer, w=floats: (
            torch.nn.functional.linear(x, w, m.bias) + (x @ m.lora_a.t() @ m.lora_b.t()) * m.scale
        )
    model.zero_grad()
    plain = model(tokens(2, 9))
    plain.square().sum().backward()
    torch.testing.assert_close(found, plain, rtol=1e-4, atol=1e-4)
    for name, p in model.named_parameters():
        if p.requires_grad:
            torch.testing.assert_close(gradients[name], p.grad, rtol=1e-3, atol=1e-3)


def test_merged_it_scores_as_with_its_adapters_and_goes_back_bit_for_bit(tiny: Any, tokens: Any) -> None:
    model = quantised(tiny, "int8", targets=("*.q", "*.v"))
    scores = model(tokens(2, 9))
    merge(model)
    torch.testing.assert_close(model(tokens(2, 9)), scores, rtol=1e-4, atol=1e-4)
    unmerge(model)
    assert torch.equal(model(tokens(2, 9)), scores)
    merge(model)
    detach(model)
    unpack_linears(model)
    assert not [m for m in model.modules() if isinstance(m, PackedLinear | PackedLoraLinear)]
    torch.testing.assert_close(model(tokens(2, 9)), scores, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("bits", "most"), [("int8", 0.03), ("nf4", 0.5)])
def test_a_packed_model_scores_nearly_as_before(bits: Any, most: float, tiny: Any, tokens: Any) -> None:
    model = tiny("llama")
    before = model(tokens(2, 9)).detach()
    pack_linears(model, QuantiseSettings(bits=bits))
    assert float((model(tokens(2, 9)).detach() - before).norm() / before.norm()) < most


def test_a_model_without_blocks_is_refused(tiny: Any) -> None:
    with pytest.raises(ConfigError, match="no blocks of linear layers"):
        pack_linears(tiny("recurrent"), QuantiseSettings())
