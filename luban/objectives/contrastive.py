"""Bring the vectors of texts that belong together close, and all others apart.

Source: InfoNCE, arXiv:1807.03748 section 2.3; the other passages of a batch as negatives,
arXiv:2004.04906 section 3.2.
"""

from __future__ import annotations

from torch import nn
from torch.nn import functional as F

from luban.records import IGNORE, Batch, Loss


def contrastive(model: nn.Module, batch: Batch, *, temperature: float = 0.05) -> Loss:
    """Sum the cross-entropy of finding each query's passage among all of the batch, in nats.

    batch.tokens (B, T) are queries, batch.source (P, S) passages, targets (B,) the row of a query's
    passage: queries may share one, and rows beyond theirs are further negatives. The model's head
    gives unit vectors (B, C), so that products are cosines.
    """
    queries = model(batch.tokens, batch.documents)
    passages = model(batch.source, batch.source_documents)
    logits = (queries @ passages.T).float() / temperature  # (B, P)
    total = F.cross_entropy(logits, batch.targets, ignore_index=IGNORE, reduction="sum")
    return Loss(total, int((batch.targets != IGNORE).sum()))
