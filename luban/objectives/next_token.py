"""Predict the next token at every supervised position."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from luban.records import IGNORE, Batch, Loss

CHUNK_BYTES = 32 << 20
"""Logits that exist at one time. Torch's own choice makes chunks too thin for a CPU's matrix products."""


def next_token(model: nn.Module, batch: Batch) -> Loss:
    """Sum the cross-entropy of every supervised token, in nats; the logits never exist all at once."""
    supervised = batch.targets != IGNORE
    targets = batch.targets[supervised]
    body: Any = model
    features = body.head.features(body.hidden(batch.tokens, batch.documents)[supervised])
    return Loss(summed_cross_entropy(features, body.head.weight, body.head.bias, targets), len(targets))


def summed_cross_entropy(hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
    """Cross-entropy of softmax(hidden·weightᵀ + bias) in nats, summed. hidden (N, C), weight (V, C)."""
    if not len(targets):
        return hidden.sum()  # nothing to learn, but part of the graph
    n_rows = max(1, CHUNK_BYTES // (4 * weight.shape[0]))
    return F.linear_cross_entropy(
        hidden,
        weight,
        targets,
        linear_bias=bias,
        reduction="sum",
        options=torch.nn.LinearCrossEntropyOptions(batch_chunk_size=n_rows),
    )
