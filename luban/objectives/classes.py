"""Tell which class a whole text belongs to."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from luban.records import IGNORE, Batch, Loss


def classes(
    model: nn.Module,
    batch: Batch,
    *,
    label_smoothing: float = 0.0,
    class_weights: Tensor | None = None,
    row_weights: Tensor | None = None,
) -> Loss:
    """Sum the cross-entropy of every row's class, in nats. targets (B,).

    class_weights (K,): what a row of each class counts in the sum; every row is one target all the same.
    row_weights (N,): what each row of the data counts, by its number in batch.ids.
    """
    logits = model(batch.tokens, batch.documents).float()  # (B, K)
    nats = F.cross_entropy(
        logits,
        batch.targets,
        weight=None if class_weights is None else class_weights.to(logits.device),
        ignore_index=IGNORE,
        reduction="sum" if row_weights is None else "none",
        label_smoothing=label_smoothing,
    )
    total = nats if row_weights is None else (nats * weights_of(batch, row_weights, nats)).sum()
    return Loss(total, int((batch.targets != IGNORE).sum()))


def weights_of(batch: Batch, row_weights: Tensor, like: Tensor) -> Tensor:
    """Return the weight of each row of a batch (B,), where and of the type that `like` is."""
    return row_weights[list(batch.ids)].to(like)
