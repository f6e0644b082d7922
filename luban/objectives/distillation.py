"""Learn to say what a larger model says, and to think as it thinks.

Source: arXiv:1503.02531 section 2 for softened scores; hidden states, arXiv:1909.10351 section 3.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from luban.objectives.vocabulary import hidden_states
from luban.records import IGNORE, Batch, Loss


def distillation(
    model: nn.Module,
    batch: Batch,
    *,
    teacher: nn.Module,
    temperature: float = 2.0,
    hidden_weight: float = 0.0,
    project: nn.Module | None = None,
) -> Loss:
    """Sum τ²·KL(teacher ‖ student) of the softened scores of every target, in nats.

    Each target adds `hidden_weight` times its row's mean squared difference of last hidden states;
    `project` brings the student's to the teacher's width. Of targets only IGNORE matters.
    """
    heads: Any = model, teacher.eval()
    ours = hidden_states(model, batch)
    with torch.no_grad():
        theirs = hidden_states(teacher, batch)
    supervised = batch.targets != IGNORE  # (B, T), or (B,) for classes
    total = 0.0 * ours.sum()
    for row in range(len(ours)):  # the scores of one row exist at a time, and again in the backward pass
        part = slice(row, row + 1)
        states = ours[part], theirs[part], batch.documents[part]
        total = total + temperature**2 * checkpoint(
            _divergence, *(h.head for h in heads), *states, supervised[part], temperature, use_reentrant=False
        )
        if hidden_weight and supervised[row].any():
            is_token = batch.documents[row] != 0
            seen = ours[row] if project is None else project(ours[row])
            gap = F.mse_loss(seen[is_token].float(), theirs[row][is_token].float())
            total = total + hidden_weight * supervised[row].sum() * gap
    return Loss(total, int(supervised.sum()))


def _divergence(
    head: nn.Module,
    teacher_head: nn.Module,
    hidden: Tensor,
    teacher_hidden: Tensor,
    documents: Tensor,
    supervised: Tensor,
    temperature: float,
) -> Tensor:
    """Sum KL(teacher ‖ student) over one row's targets."""
    with torch.no_grad():
        theirs = teacher_head(teacher_hidden, documents)[supervised].float() / temperature
    ours = head(hidden, documents)[supervised].float() / temperature
    return F.kl_div(ours.log_softmax(-1), theirs.log_softmax(-1), reduction="sum", log_target=True)
