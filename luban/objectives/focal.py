"""Tell which class a text belongs to, with little weight on rows that are easy already.

Source: arXiv:1708.02002 section 3.2.
"""

from __future__ import annotations

from torch import Tensor, nn

from luban.objectives.classes import weights_of
from luban.records import IGNORE, Batch, Loss


def focal(
    model: nn.Module,
    batch: Batch,
    *,
    gamma: float = 2.0,
    class_weights: Tensor | None = None,
    row_weights: Tensor | None = None,
) -> Loss:
    """Sum −α·(1 − p)^γ·log p of every row, where p is its class's probability. targets (B,).

    class_weights (K,) are the α of the classes; γ = 0 is cross-entropy.
    row_weights (N,): what each row of the data counts, by its number in batch.ids.
    """
    supervised = batch.targets != IGNORE
    targets = batch.targets[supervised]
    scores = model(batch.tokens, batch.documents).float().log_softmax(-1)[supervised]  # (N, K)
    log_p = scores.gather(1, targets[:, None])[:, 0]
    doubt = (-log_p.expm1()).clamp(min=1e-12)  # 1 − p; a power of 0 may have no slope
    nats = -(doubt**gamma) * log_p
    if class_weights is not None:
        nats = nats * class_weights.to(nats.device)[targets]
    if row_weights is not None:
        nats = nats * weights_of(batch, row_weights, nats)[supervised]
    return Loss(nats.sum(), len(targets))
