"""Make answers likelier that were rewarded more than others to the same question: GRPO.

Source: arXiv:2402.03300 section 4.1; what is wrong with its means, arXiv:2503.20783 section 3.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from luban.objectives.answers import token_log_probs
from luban.records import IGNORE, Batch, Loss


def policy(
    model: nn.Module,
    batch: Batch,
    *,
    clip: float = 0.2,
    clip_high: float | None = None,
    kl: float = 0.0,
    divide_by: int = 0,
) -> Loss:
    """Sum −[min(ρ·A, clip(ρ)·A) − β·KL] over rows, each the mean of its tokens; one target a row.

    ρ = π/before of a token, clipped to 1 ± `clip` (above to 1 + `clip_high`). signal (B,): advantages A.
    before (B, T); None: the row was written by these very weights, so that ρ = 1. reference (B, T) where
    `kl` is not 0. `divide_by`: instead of each row's own length, as Dr. GRPO wants it: the longest.
    """
    assert batch.signal is not None
    log_probs = token_log_probs(model, batch)
    said = batch.targets != IGNORE
    before = log_probs.detach() if batch.before is None else batch.before
    ratio = torch.exp(log_probs - before)
    advantage = batch.signal[:, None]
    limited = ratio.clamp(1 - clip, 1 + (clip if clip_high is None else clip_high))
    gain = torch.minimum(ratio * advantage, limited * advantage)
    if kl:
        assert batch.reference is not None
        gain = gain - kl * k3(log_probs, batch.reference)
    n_tokens = torch.full_like(said[:, 0], divide_by, dtype=torch.long) if divide_by else said.sum(1)
    return Loss(-((gain * said).sum(1) / n_tokens.clamp(min=1)).sum(), len(said))


def k3(log_probs: Tensor, reference: Tensor) -> Tensor:
    """Estimate KL(π ‖ r) of tokens drawn from π: r/π − log(r/π) − 1, never negative. Same shape.

    Source: arXiv:2402.03300 equation 4.
    """
    gap = reference - log_probs
    return torch.expm1(gap) - gap


def advantages(rewards: Tensor, *, by_deviation: bool = True) -> Tensor:
    """Return how much better each answer is than the mean of its group: (G, M) -> (G, M).

    In standard deviations of the group, or plainly, as Dr. GRPO has it; a group of equals has none.
    """
    centred = rewards - rewards.mean(1, keepdim=True)
    if not by_deviation:
        return centred
    deviation = rewards.std(1, correction=1, keepdim=True)
    return torch.where(deviation > 1e-8, centred / deviation.clamp(min=1e-8), 0.0)
