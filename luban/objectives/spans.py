"""Find where an answer stands in a text.

Source: arXiv:1810.04805 section 4.2; an answer that is not there points at the first token (4.3). Several
right answers: the likelihood of any of them, arXiv:1710.10723 section 3.1.
"""

from __future__ import annotations

import torch
from torch import nn

from luban.records import IGNORE, Batch, Loss


def spans(model: nn.Module, batch: Batch) -> Loss:
    """Sum the nats of every answer's first and last token. targets (B, 2), or (B, 2K) for K right answers.

    Positions are counted in the row, from 0; an answer fewer is a pair of IGNORE. Padding is never an
    answer. A row with answers counts as two targets.
    """
    segments = {} if batch.segments is None else {"segments": batch.segments}
    logits = model(batch.tokens, batch.documents, **segments).float()  # (B, T, 2)
    logits = logits.masked_fill((batch.documents == 0)[..., None], -1e9)
    places = batch.targets.reshape(len(batch.targets), -1, 2)  # (B, K, 2)
    is_answer = (places != IGNORE).all(-1)
    logs = logits.log_softmax(1).gather(1, places.clamp(min=0)).sum(-1)  # (B, K)
    likelihood = logs.masked_fill(~is_answer, -torch.inf).logsumexp(1)
    counted = is_answer.any(1)
    return Loss(-likelihood[counted].sum(), 2 * int(counted.sum()))
