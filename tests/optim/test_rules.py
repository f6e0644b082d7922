"""The step of every optimizer, against its formula or torch's own, and after a checkpoint."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from luban.optim.build import RULES, build_optimizer
from luban.optim.groups import parameter_groups
from luban.optim.penalties import add_penalties
from luban.train import checkpoint
from luban.train.settings import TrainSettings


class Toy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Embedding(5, 4)
        self.trunk = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))
        self.head = nn.Linear(4, 5)

    def descend(self, *optimizers: torch.optim.Optimizer) -> None:
        self.head(self.trunk(self.stem(torch.arange(5)))).pow(2).sum().backward()
        for optimizer in optimizers:
            optimizer.step()
        self.zero_grad()


@pytest.mark.parametrize("name", RULES)
def test_a_step_after_loading_equals_the_step_without(name: str, tmp_path: Path) -> None:
    first, second = Toy(), Toy()
    kept, loaded = build_optimizer(first, settings(name)), build_optimizer(second, settings(name))
    first.descend(kept)
    files = {
        checkpoint.MODEL: checkpoint.model_tensors(first),
        checkpoint.OPTIMIZER: checkpoint.optimizer_tensors(first, kept),
    }
    checkpoint.save_checkpoint(tmp_path / "step-0000001", files, {})
    checkpoint.load_weights(tmp_path / "step-0000001", second)
    checkpoint.load_optimizer(tmp_path / "step-0000001", second, loaded)
    first.descend(kept)
    second.descend(loaded)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


LR, DECAY, N_STEPS = 0.1, 0.3, 4
Grads = list[torch.Tensor]


def settings(name: str, **changes: Any) -> TrainSettings:
    return TrainSettings(
        optimizer=name, lr=LR, weight_decay=DECAY, beta1=0.8, beta2=0.9, momentum=0.7, **changes
    )  # type: ignore[arg-type]


def gradients() -> Grads:
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(3, 2, generator=generator) for _ in range(N_STEPS)]


def matrix() -> nn.Linear:
    model = nn.Linear(2, 3, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.arange(6.0).view(3, 2) - 2)
    return model


def after(model: nn.Linear, optimizer: torch.optim.Optimizer, grads: Iterable[torch.Tensor]) -> torch.Tensor:
    for grad in grads:
        model.weight.grad = grad.clone()
        optimizer.step()
    return model.weight.detach()


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_adam_is_its_formula_with_the_decay_apart(name: str) -> None:
    w, mean, square = matrix().weight.detach().clone(), torch.zeros(3, 2), torch.zeros(3, 2)
    for t, grad in enumerate(gradients(), 1):
        mean = 0.8 * mean + 0.2 * grad
        square = 0.9 * square + 0.1 * grad**2
        w = w - LR * DECAY * w - LR * (mean / (1 - 0.8**t)) / ((square / (1 - 0.9**t)).sqrt() + 1e-8)
    model = matrix()
    torch.testing.assert_close(after(model, build_optimizer(model, settings(name)), gradients()), w)


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_is_its_formula_with_the_decay_outside_the_momentum(nesterov: bool) -> None:
    w, velocity = matrix().weight.detach().clone(), torch.zeros(3, 2)
    for grad in gradients():
        velocity = 0.7 * velocity + grad
        w = w - LR * DECAY * w - LR * (grad + 0.7 * velocity if nesterov else velocity)
    model = matrix()
    optimizer = build_optimizer(model, settings("sgd", nesterov=nesterov))
    torch.testing.assert_close(after(model, optimizer, gradients()), w)


def test_sgd_without_momentum_goes_down_the_gradient() -> None:
    model = matrix()
    start, grad = model.weight.detach().clone(), gradients()[0]
    bare = TrainSettings(optimizer="sgd", lr=LR, weight_decay=0.0, momentum=0.0)
    torch.testing.assert_close(after(model, build_optimizer(model, bare), [grad]), start - LR * grad)


def test_sgd_spares_what_no_gradient_reached() -> None:
    model = matrix()
    start = model.weight.detach().clone()
    build_optimizer(model, settings("sgd")).step()
    assert torch.equal(model.weight, start)


def test_adafactor_is_torchs() -> None:
    ours, theirs = matrix(), matrix()
    plain = torch.optim.Adafactor(theirs.parameters(), lr=LR, weight_decay=DECAY)
    optimizer = build_optimizer(ours, settings("adafactor"))
    assert torch.equal(after(ours, optimizer, gradients()), after(theirs, plain, gradients()))


def test_an_l2_penalty_and_a_decay_are_two_things_on_adam() -> None:
    decayed, penalised, theirs = matrix(), matrix(), matrix()
    by_decay = after(decayed, build_optimizer(decayed, settings("adamw")), gradients())

    bare = TrainSettings(optimizer="adam", lr=LR, weight_decay=0.0, beta1=0.8, beta2=0.9)
    optimizer = build_optimizer(penalised, bare)
    for grad in gradients():
        penalised.weight.grad = grad.clone()
        add_penalties(optimizer.param_groups, 0.0, DECAY)
        optimizer.step()
    coupled = torch.optim.Adam(theirs.parameters(), lr=LR, betas=(0.8, 0.9), weight_decay=DECAY)
    torch.testing.assert_close(penalised.weight.detach(), after(theirs, coupled, gradients()))
    assert (penalised.weight - by_decay).abs().max() > 0.01


def test_muon_is_torchs_for_the_trunks_matrices_and_adamw_for_the_rest() -> None:
    torch.manual_seed(5)
    ours = Toy()
    theirs = copy.deepcopy(ours)
    optimizer = build_optimizer(ours, settings("muon"))
    muon = torch.optim.Muon(
        [theirs.trunk[0].weight], lr=LR, weight_decay=DECAY, momentum=0.7, adjust_lr_fn="match_rms_adamw"
    )
    rest = parameter_groups(theirs, DECAY)
    for group in rest:
        group["params"] = [p for p in group["params"] if p is not theirs.trunk[0].weight]
    adamw = torch.optim.AdamW(rest, lr=LR, betas=(0.8, 0.9))
    for _ in range(N_STEPS):
        ours.descend(optimizer)
        theirs.descend(muon, adamw)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_muon_follows_groups_that_were_replaced_after_it_was_built() -> None:
    model = Toy()
    optimizer = build_optimizer(model, settings("muon"))
    optimizer.param_groups[:] = [dict(group) for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    before = [p.detach().clone() for p in model.parameters()]
    model.descend(optimizer)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), before, strict=True))
