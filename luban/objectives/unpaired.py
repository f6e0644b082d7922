"""Make good answers likelier and bad ones less likely, without pairs: KTO.

Source: arXiv:2402.01306 section 4.1. What an answer has gained is measured against z, how far the model
has moved in general, estimated from answers to other questions.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from luban.objectives.answers import answer_log_probs
from luban.records import Batch, Loss


def unpaired(
    model: nn.Module,
    batch: Batch,
    *,
    beta: float = 0.1,
    desirable: float = 1.0,
    undesirable: float = 1.0,
) -> Loss:
    """Sum λ·(1 − σ(±(β·log(π/r) − z))) over labelled rows, + for good answers and − for bad ones.

    signal (G, M): 1 good, -1 bad, 0 a row that only fills its group. A group is 2·M rows of the batch: M
    labelled ones, then M answers to other questions, which tell z. batch.reference (2·G·M,).
    """
    good = batch.signal
    assert good is not None
    gained, z = gains(model, batch)
    weight = torch.where(good > 0, desirable, undesirable) * (good != 0)
    losses = weight * (1 - torch.sigmoid(good * beta * (gained - z)))
    return Loss(losses.sum(), int((good != 0).sum()))


def gains(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return log(π/r) of the labelled rows (G, M), and z of each group (G, 1), at least 0, in nats.

    No gradient flows through z. The loss's formula multiplies both by β.
    """
    assert batch.signal is not None
    assert batch.reference is not None
    n_groups, m = batch.signal.shape
    rows = torch.arange(2 * n_groups * m, device=batch.tokens.device).view(n_groups, 2, m)
    labelled, others = rows[:, 0].reshape(-1), rows[:, 1].reshape(-1)
    gained = _ratios(model, batch, labelled)
    with torch.no_grad():
        moved = _ratios(model, batch, others)
    return gained.view(n_groups, m), moved.view(n_groups, m).mean(1, keepdim=True).clamp(min=0)


def _ratios(model: nn.Module, batch: Batch, rows: Tensor) -> Tensor:
    assert batch.reference is not None
    part = {
        name: t[rows]
        for name in ("tokens", "documents", "targets")
        if (t := getattr(batch, name)) is not None
    }
    log_probs, _ = answer_log_probs(model, replace(batch, **part))
    return log_probs - batch.reference[rows].to(log_probs)
