"""Find where an answer stands in a text.

Source: arXiv:1810.04805 section 4.2; an answer that is not there points at the first token (4.3).
"""

from __future__ import annotations

from torch import nn
from torch.nn import functional as F

from luban.records import IGNORE, Batch, Loss


def spans(model: nn.Module, batch: Batch) -> Loss:
    """Sum the cross-entropy of every answer's first and last token, in nats. targets (B, 2): positions.

    Positions are counted in the row, from 0. Padding is never an answer.
    """
    logits = model(batch.tokens, batch.documents).float()  # (B, T, 2)
    logits = logits.masked_fill((batch.documents == 0)[..., None], -1e9)
    total = F.cross_entropy(logits, batch.targets, ignore_index=IGNORE, reduction="sum")
    return Loss(total, int((batch.targets != IGNORE).sum()))
