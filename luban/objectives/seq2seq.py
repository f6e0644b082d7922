"""Write a target from a source: translation, summaries, answers, transcripts.

Source: label smoothing as in arXiv:1706.03762 section 5.4.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from luban.objectives.vocabulary import supervised_tokens
from luban.records import IGNORE, Batch, Loss


def seq2seq(model: nn.Module, batch: Batch, *, label_smoothing: float = 0.0) -> Loss:
    """Sum the cross-entropy of every target token, given the source and the true tokens before it.

    batch.source (B, S), batch.tokens (B, T): the targets one place later; see `shift_right`.
    """
    return supervised_tokens(model, batch, label_smoothing)


def shift_right(targets: Tensor, documents: Tensor, *, start_id: int, pad_id: int = 0) -> Tensor:
    """Return what the decoder reads to say `targets` (B, T): the start token, then each token said.

    Every document of a packed row begins with the start token of its own; padding holds `pad_id`.
    """
    begins = torch.ones_like(targets, dtype=torch.bool)
    begins[:, 1:] = documents[:, 1:] != documents[:, :-1]
    said = targets.roll(1, 1).masked_fill(begins, start_id)
    return said.masked_fill((documents == 0) | (said == IGNORE), pad_id)
