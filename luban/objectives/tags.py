"""Tell what kind of thing each token is part of: names, parts of speech."""

from __future__ import annotations

from torch import nn
from torch.nn import functional as F

from luban.records import IGNORE, Batch, Loss


def tags(model: nn.Module, batch: Batch, *, label_smoothing: float = 0.0) -> Loss:
    """Sum the cross-entropy of every supervised token's tag, in nats. targets (B, T).

    A word of several tokens is usually supervised at its first.
    """
    supervised = batch.targets != IGNORE
    logits = model(batch.tokens, batch.documents)[supervised].float()  # (N, K)
    total = F.cross_entropy(
        logits, batch.targets[supervised], reduction="sum", label_smoothing=label_smoothing
    )
    return Loss(total, len(logits))
