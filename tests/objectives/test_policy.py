"""GRPO against its paper's formula, token by token in float64."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from luban.objectives.answers import token_log_probs
from luban.objectives.policy import advantages, k3, policy
from luban.records import IGNORE, Batch
from tests.objectives.test_preference import batch_of, toy


def rollouts() -> Batch:
    batch, model = batch_of(2), toy()
    log_probs = token_log_probs(model, batch).detach()
    noise = torch.linspace(-0.6, 0.6, log_probs.numel()).view_as(log_probs)
    return replace(
        batch,
        before=log_probs + noise,
        reference=log_probs - 0.5,
        signal=torch.tensor([1.0, -1.0, 0.5, -2.0]),
    )


@pytest.mark.parametrize("longest", [0, 9])
def test_the_loss_is_the_papers_formula(longest: int) -> None:
    model, batch = toy(), rollouts()
    assert batch.before is not None
    assert batch.reference is not None
    assert batch.signal is not None
    log_probs = token_log_probs(model, batch).double()
    total = 0.0
    for row in range(4):
        inner, n = 0.0, 0
        for t in range(batch.targets.shape[1]):
            if batch.targets[row, t] == IGNORE:
                continue
            a = batch.signal[row].item()
            ratio = math.exp(log_probs[row, t].item() - batch.before[row, t].item())
            r = math.exp(batch.reference[row, t].item() - log_probs[row, t].item())
            inner += min(ratio * a, min(max(ratio, 0.8), 1.2) * a) - 0.04 * (r - math.log(r) - 1)
            n += 1
        total -= inner / (longest or n)
    loss = policy(model, batch, clip=0.2, kl=0.04, divide_by=longest)
    assert loss.n_targets == 4
    assert loss.total.item() == pytest.approx(total, rel=1e-5)


def test_fresh_rows_have_the_gradient_of_their_likelihood_times_the_advantage() -> None:
    model, batch = toy(), replace(rollouts(), before=None)
    loss = policy(model, batch, divide_by=1)
    grads = torch.autograd.grad(loss.total, list(model.parameters()))
    assert batch.signal is not None
    plain = -(token_log_probs(model, batch).sum(1) * batch.signal).sum()
    for one, other in zip(grads, torch.autograd.grad(plain, list(model.parameters())), strict=True):
        torch.testing.assert_close(one, other)


def test_a_clipped_token_has_no_gradient() -> None:
    model, batch = toy(), rollouts()
    before = token_log_probs(model, batch).detach() - 1.0  # every ratio is e
    up = policy(model, replace(batch, before=before, signal=torch.ones(4)))
    assert not any(g.any() for g in torch.autograd.grad(up.total, list(model.parameters())))
    down = policy(model, replace(batch, before=before, signal=-torch.ones(4)))
    assert any(g.any() for g in torch.autograd.grad(down.total, list(model.parameters())))


def test_the_divergence_is_zero_where_nothing_moved_and_else_above() -> None:
    gap = torch.tensor([0.0, 0.5, -0.5])
    assert k3(torch.zeros(3), gap).tolist() == pytest.approx([0.0, math.exp(0.5) - 1.5, math.exp(-0.5) - 0.5])


def test_advantages_are_deviations_from_the_groups_mean() -> None:
    rewards = torch.tensor([[1.0, 0.0, 0.0, 1.0], [1.0, 1.0, 1.0, 1.0]])
    found = advantages(rewards)
    assert found[0].tolist() == pytest.approx([v / math.sqrt(1 / 3) for v in (0.5, -0.5, -0.5, 0.5)])
    assert found[1].tolist() == [0.0] * 4
    assert advantages(rewards, by_deviation=False)[0].tolist() == [0.5, -0.5, -0.5, 0.5]
