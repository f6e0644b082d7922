"""Tell which of many labels a text has; it may have several, or none."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from luban.objectives.classes import weights_of
from luban.records import IGNORE, Batch, Loss


def multi_label(
    model: nn.Module,
    batch: Batch,
    *,
    positive_weights: Tensor | None = None,
    row_weights: Tensor | None = None,
) -> Loss:
    """Sum the binary cross-entropy of every label of every row, in nats. targets (B, K): 0, 1 or IGNORE.

    positive_weights (K,): what a label counts where it is there, to balance rare ones.
    row_weights (N,): what each row of the data counts, by its number in batch.ids.
    """
    supervised = batch.targets != IGNORE
    logits = model(batch.tokens, batch.documents).float()  # (B, K)
    nats = F.binary_cross_entropy_with_logits(
        logits,
        batch.targets.to(logits.dtype),
        pos_weight=None if positive_weights is None else positive_weights.to(logits.device),
        reduction="none",
    )
    if row_weights is not None:
        nats = nats * weights_of(batch, row_weights, nats)[:, None]
    return Loss(nats[supervised].sum(), int(supervised.sum()))
