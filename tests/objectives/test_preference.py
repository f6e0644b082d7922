"""Losses over pairs against the papers' formulas in float64, written out from log-softmax."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from luban.objectives.preference import PAIR_LOSSES, Pairs, Strength, pairs, preference
from luban.records import IGNORE, Batch
from tests.objectives.toys import Toy, generator

VOCAB, WIDTH = 7, 6


def toy() -> Toy:
    model = Toy(vocab=VOCAB, dim=5)
    for p in model.parameters():
        p.data = 2 * torch.randn(p.shape, generator=generator(3))
    return model


def batch_of(n_pairs: int = 4) -> Batch:
    """Pairs whose prompts and answers differ in length."""
    tokens = torch.randint(VOCAB, (2 * n_pairs, WIDTH), generator=generator(1))
    targets = torch.full_like(tokens, IGNORE)
    documents = torch.zeros_like(tokens)
    for row in range(2 * n_pairs):
        start, end = 1 + row // 2 % 2, 3 + row % 4
        documents[row, : min(end + 1, WIDTH)] = 1
        targets[row, start:end] = torch.randint(VOCAB, (end - start,), generator=generator(row))
    reference = -torch.rand(2 * n_pairs, generator=generator(2)) * 9
    return Batch(tokens, documents, targets, reference=reference)


def answers(model: Toy, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """log π, log r and token counts of each row, in float64, straight from the definitions."""
    logits = (model.stem.weight[batch.tokens] @ model.head.weight.T).double()
    logp = logits.log_softmax(-1)
    sums = []
    for row, targets in zip(logp, batch.targets, strict=True):
        sums.append(sum(row[t, i] for t, i in enumerate(targets.tolist()) if i != IGNORE))
    assert batch.reference is not None
    return torch.stack(sums), batch.reference.double(), (batch.targets != IGNORE).sum(1).double()


def by_paper(name: str, pi: Tensor, r: Tensor, n: Tensor, s: Strength) -> float:
    total = 0.0
    for w in range(0, len(pi), 2):
        p, q, m = pi[w : w + 2].tolist(), r[w : w + 2].tolist(), n[w : w + 2].tolist()
        sigmoid = lambda x: 1 / (1 + math.exp(-x))  # noqa: E731
        if name == "dpo":
            total -= math.log(sigmoid(s.beta * (p[0] - q[0]) - s.beta * (p[1] - q[1])))
        elif name == "ipo":
            h = math.log((math.exp(p[0]) * math.exp(q[1])) / (math.exp(p[1]) * math.exp(q[0])))
            total += (h - 1 / (2 * s.beta)) ** 2
        elif name == "orpo":
            mean = [math.exp(p[i] / m[i]) for i in (0, 1)]
            odds = [v / (1 - v) for v in mean]
            total += -math.log(mean[0]) - s.beta * math.log(sigmoid(math.log(odds[0] / odds[1])))
        else:
            total -= math.log(sigmoid(s.beta / m[0] * p[0] - s.beta / m[1] * p[1] - s.margin))
    return total


@pytest.mark.parametrize("name", PAIR_LOSSES)
def test_each_loss_is_the_formula_of_its_paper(name: str) -> None:
    model, batch, strength = toy(), batch_of(), Strength(beta=0.7, margin=0.3)
    loss = preference(model, batch, name=name, strength=strength)
    assert loss.n_targets == 4
    assert loss.total.item() == pytest.approx(by_paper(name, *answers(model, batch), strength), rel=1e-5)


@pytest.mark.parametrize("name", PAIR_LOSSES)
def test_halves_of_a_batch_add_up_to_the_whole_with_their_gradients(name: str) -> None:
    model, batch, strength = toy(), batch_of(5), Strength(beta=0.5)
    whole = preference(model, batch, name=name, strength=strength)
    grads = torch.autograd.grad(whole.total, list(model.parameters()))
    sums, n = [torch.zeros_like(g) for g in grads], 0
    for part in (slice(0, 4), slice(4, 10)):
        cut = {k: getattr(batch, k)[part] for k in ("tokens", "documents", "targets", "reference")}
        loss = preference(model, replace(batch, **cut), name=name, strength=strength)
        n += int(loss.n_targets)
        for s, g in zip(sums, torch.autograd.grad(loss.total, list(model.parameters())), strict=True):
            s += g
    assert n == whole.n_targets
    for s, g in zip(sums, grads, strict=True):
        torch.testing.assert_close(s, g, rtol=1e-4, atol=1e-5)


def test_conservative_dpo_and_ipo_per_token_by_hand() -> None:
    found = Pairs(*(torch.tensor([t]) for t in ([-4.0, -6.0], [-5.0, -6.0], [2.0, 4.0])))
    # log(π/r) is 1 and 0; h = 0.5·1.
    mixed = PAIR_LOSSES["dpo"](found, Strength(beta=0.5, label_smoothing=0.1)).item()
    assert mixed == pytest.approx(0.9 * math.log(1 + math.exp(-0.5)) + 0.1 * math.log(1 + math.exp(0.5)))
    assert PAIR_LOSSES["ipo"](found, Strength(beta=0.5, per_token=True)).item() == pytest.approx(0.25)


def test_odds_of_an_answer_that_is_sure_stay_finite() -> None:
    sure = torch.zeros(1, 2, requires_grad=True)
    loss = PAIR_LOSSES["orpo"](Pairs(sure, torch.zeros(1, 2), torch.ones(1, 2)), Strength())
    (grad,) = torch.autograd.grad(loss.sum(), sure)
    assert loss.isfinite().all()
    assert grad.isfinite().all()


def test_prompts_and_padding_count_for_nothing() -> None:
    model, batch = toy(), batch_of()
    tokens = batch.tokens.clone()
    tokens[batch.targets == IGNORE] = 0
    for one, other in zip(
        (pairs(model, batch).log_probs, pairs(model, batch).n_tokens),
        (pairs(model, replace(batch, tokens=tokens)).log_probs, pairs(model, batch).n_tokens),
        strict=True,
    ):
        torch.testing.assert_close(one, other)
