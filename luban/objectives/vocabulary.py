"""Cross-entropy over a large vocabulary: the scores of all tokens never exist all at once."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from luban.records import IGNORE, Batch, Loss

CHUNK_BYTES = 32 << 20
"""Logits that exist at one time. Torch's own choice makes chunks too thin for a CPU's matrix products."""


def supervised_tokens(model: nn.Module, batch: Batch, label_smoothing: float = 0.0) -> Loss:
    """Sum the cross-entropy of every supervised token, in nats. batch.targets (B, T).

    Every objective whose targets are tokens ends here; they differ in how the batch was made.
    `label_smoothing` is the share of a target spread evenly over the vocabulary.
    """
    hidden, head = hidden_states(model, batch), cast(Any, model).head
    supervised = batch.targets != IGNORE
    features, targets = head.features(hidden[supervised]), batch.targets[supervised]
    total = summed_cross_entropy(features, head.weight, head.bias, targets)
    if label_smoothing and len(targets):
        total = total + label_smoothing * _gap(features, head.weight, head.bias, targets)
    return Loss(total, len(targets))


def hidden_states(model: nn.Module, batch: Batch) -> Tensor:
    """Return what the model's head is given, (B, T, C), the encoder's source read where there is one."""
    body: Any = model
    if batch.source is None:
        return cast(Tensor, body.hidden(batch.tokens, batch.documents))
    source = {"source": batch.source, "source_documents": batch.source_documents}
    return cast(Tensor, body.hidden(batch.tokens, batch.documents, **source))


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


def _gap(hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
    """Sum how far each target's logit is above the mean logit: what smoothing adds, times its share.

    The smoothed loss −Σ q·log p, with q = (1−ε)·target + ε/V, is logΣexp − (1−ε)·logit − ε·mean logit,
    and a mean logit needs the mean row of the matrix alone.
    """
    gap = (hidden * (weight[targets] - weight.mean(0))).sum()
    return gap if bias is None else gap + (bias[targets] - bias.mean()).sum()
