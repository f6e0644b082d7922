"""Tell which of many labels a text has; it may have several, or none."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from luban.records import IGNORE, Batch, Loss


def multi_label(model: nn.Module, batch: Batch, *, positive_weights: Tensor | None = None) -> Loss:
    """Sum the binary cross-entropy of every label of every row, in nats. targets (B, K): 0, 1 or IGNORE.

    positive_weights (K,): what a label counts where it is there, to balance rare ones.
    """
    supervised = batch.targets != IGNORE
    logits = model(batch.tokens, batch.documents).float()  # (B, K)
    nats = F.binary_cross_entropy_with_logits(
        logits, batch.targets.to(logits.dtype), pos_weight=positive_weights, reduction="none"
    )
    return Loss(nats[supervised].sum(), int(supervised.sum()))
