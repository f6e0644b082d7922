"""The running mean of the weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from luban.optim.averaging import COUNT, Average, mean_tensors


def walk(model: nn.Module, average: Average, n_steps: int, seed: int = 0) -> list[torch.Tensor]:
    """Move the weights at random; return where they were after every step."""
    generator, seen = torch.Generator().manual_seed(seed), []
    for _ in range(n_steps):
        with torch.no_grad():
            for p in model.parameters():
                p.copy_(torch.randn(p.shape, generator=generator))
        average.update()
        seen.append(next(model.parameters()).detach().double().clone())
    return seen


@pytest.mark.parametrize("decay", [0.2, 0.5, 0.99])
def test_the_mean_is_the_weighted_sum_of_all_weights_seen(decay: float) -> None:
    model = nn.Linear(3, 2)
    start = model.weight.detach().double().clone()
    average = Average(model, decay)
    seen = walk(model, average, 12)
    decays = [min(decay, (1 + t) / (10 + t)) for t in range(1, 13)]
    expected = torch.tensor(decays).double().prod() * start
    for i, weight in enumerate(seen):
        expected += (1 - decays[i]) * torch.tensor([1.0, *decays[i + 1 :]]).double().prod() * weight
    torch.testing.assert_close(average.tensors()["weight"].double(), expected)


def test_the_mean_is_in_place_for_a_while_and_the_weights_come_back_bit_for_bit() -> None:
    model = nn.Linear(3, 2).to(torch.bfloat16)
    average = Average(model, 0.9)
    walk(model, average, 3)
    weight = model.weight.detach().clone()
    mean = average.tensors()["weight"].clone()
    with average.in_place():
        assert torch.equal(model.weight, mean.to(torch.bfloat16))
        assert not torch.equal(model.weight, weight)
    assert torch.equal(model.weight, weight)
    assert torch.equal(average.tensors()["weight"], mean)


def test_the_weights_come_back_after_an_error() -> None:
    model = nn.Linear(3, 2)
    average = Average(model, 0.9)
    walk(model, average, 3)
    weight = model.weight.detach().clone()
    with pytest.raises(RuntimeError, match="out of memory"), average.in_place():
        raise RuntimeError("out of memory")
    assert torch.equal(model.weight, weight)


def test_the_mean_moves_in_float32_where_the_weights_are_too_coarse_to_tell() -> None:
    model = nn.Linear(1, 1, bias=False).to(torch.bfloat16)
    nn.init.ones_(model.weight)
    average = Average(model, 0.999)
    average.load({"weight": torch.ones(1, 1), COUNT: torch.tensor(100_000)})
    nn.init.constant_(model.weight, 2.0)
    average.update()
    mean = average.tensors()["weight"]
    assert mean.dtype == torch.float32
    assert mean.item() == pytest.approx(1.001)


def test_a_mean_that_was_saved_goes_on_as_if_it_had_not_been() -> None:
    first, second = nn.Linear(3, 2), nn.Linear(3, 2)
    kept, loaded = Average(first, 0.9), Average(second, 0.9)
    walk(first, kept, 4)
    loaded.load({name: t.clone() for name, t in kept.tensors().items()})
    walk(first, kept, 3, seed=1)
    walk(second, loaded, 3, seed=1)
    assert kept.tensors().keys() == loaded.tensors().keys() == {"weight", "bias", COUNT}
    assert all(torch.equal(t, loaded.tensors()[name]) for name, t in kept.tensors().items())


def test_frozen_weights_have_no_mean() -> None:
    model = nn.Linear(3, 2)
    model.bias.requires_grad_(False)
    assert Average(model, 0.9).tensors().keys() == {"weight", COUNT}


def test_the_mean_of_checkpoints_is_exact_and_keeps_the_dtype() -> None:
    rows = [{"a": torch.full((2,), v), "b": torch.tensor(v, dtype=torch.bfloat16)} for v in (1.0, 2.0, 6.0)]
    mean = mean_tensors(rows)
    assert torch.equal(mean["a"], torch.full((2,), 3.0))
    assert mean["b"].dtype == torch.bfloat16
    assert rows[0]["a"][0] == 1
    assert mean_tensors([]) == {}
