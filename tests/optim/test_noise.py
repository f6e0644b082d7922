"""Noise on gradients."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from luban.optim.noise import add_noise


@pytest.mark.parametrize("step", [1, 10, 1000])
def test_the_variance_fades_with_the_step_and_the_mean_stays(step: int) -> None:
    p = nn.Parameter(torch.zeros(200_000))
    p.grad = torch.full_like(p, 3.0)
    torch.manual_seed(0)
    add_noise([p], 0.3, step)
    t = step - 1
    assert p.grad.var().item() == pytest.approx(0.3 / (1 + t) ** 0.55, rel=0.02)
    assert p.grad.mean().item() == pytest.approx(3.0, abs=0.01)


def test_what_no_gradient_reached_gets_no_noise() -> None:
    p = nn.Parameter(torch.zeros(2))
    add_noise([p], 0.3, 1)
    assert p.grad is None
