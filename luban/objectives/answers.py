"""How likely a model finds answers: the log-probabilities that preferences and rewards work with."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from luban.objectives.vocabulary import CHUNK_BYTES, hidden_states
from luban.records import IGNORE, Batch


def token_log_probs(model: nn.Module, batch: Batch) -> Tensor:
    """Return log p of every target, in nats, 0 where there is none: (B, T).

    The scores of the vocabulary exist for a part of the targets at a time.
    """
    hidden, head = hidden_states(model, batch), cast(Any, model).head
    supervised = batch.targets != IGNORE
    dtype = torch.promote_types(hidden.dtype, torch.float32)
    found = hidden.new_zeros(batch.targets.shape, dtype=dtype)
    if not supervised.any():
        return found + 0.0 * hidden.sum()
    nats = F.linear_cross_entropy(
        head.features(hidden[supervised]),
        head.weight,
        batch.targets[supervised],
        linear_bias=head.bias,
        reduction="none",
        options=torch.nn.LinearCrossEntropyOptions(
            batch_chunk_size=max(1, CHUNK_BYTES // (4 * len(head.weight)))
        ),
    )
    return found.masked_scatter(supervised, -nats.to(dtype))


def answer_log_probs(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return log p of the targets of each row together, and how many there are: (B,), (B,)."""
    return token_log_probs(model, batch).sum(1), (batch.targets != IGNORE).sum(1)
