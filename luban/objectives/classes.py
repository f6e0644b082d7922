"""Tell which class a whole text belongs to."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from luban.records import IGNORE, Batch, Loss


def classes(
    model: nn.Module, batch: Batch, *, label_smoothing: float = 0.0, class_weights: Tensor | None = None
) -> Loss:
    """Sum the cross-entropy of every row's class, in nats. targets (B,).

    class_weights (K,): what a row of each class counts in the sum; every row is one target all the same.
    """
    logits = model(batch.tokens, batch.documents).float()  # (B, K)
    total = F.cross_entropy(
        logits,
        batch.targets,
        weight=class_weights,
        ignore_index=IGNORE,
        reduction="sum",
        label_smoothing=label_smoothing,
    )
    return Loss(total, int((batch.targets != IGNORE).sum()))
