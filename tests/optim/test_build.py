"""The optimizer's arithmetic."""

import torch
from torch import nn

from luban.optim.build import build_optimizer
from luban.train.settings import TrainSettings


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
