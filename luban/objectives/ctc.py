"""Write a transcript without knowing which frame says which token.

Source: Graves and others, "Connectionist temporal classification", ICML 2006.
"""

from __future__ import annotations

from torch import nn
from torch.nn import functional as F

from luban.errors import DataError
from luban.records import IGNORE, Batch, Loss


def ctc(model: nn.Module, batch: Batch, *, blank_id: int = 0) -> Loss:
    """Sum −log of the probability of all ways to say each row's targets, in nats.

    The model scores every frame (B, T, K); targets (B, U) end with IGNORE. Loss per target token.
    """
    scores = model(batch.tokens, batch.documents).float().log_softmax(-1)
    is_token = batch.targets != IGNORE
    n_frames, n_tokens = (batch.documents != 0).sum(1), is_token.sum(1)
    repeats = (batch.targets[:, 1:] == batch.targets[:, :-1]) & is_token[:, 1:]
    n_needed = n_tokens + repeats.sum(1)  # a blank has to part two equal tokens
    if (short := n_frames < n_needed).any():
        row = int(short.nonzero()[0])
        raise DataError(
            f"row {row} of a batch has {int(n_frames[row])} frames, and its transcript needs "
            f"{int(n_needed[row])}",
            fix="check that sound and transcript belong together, or leave the row out",
        )
    total = F.ctc_loss(
        scores.transpose(0, 1),  # (T, B, K)
        batch.targets[is_token],
        n_frames,
        n_tokens,
        blank=blank_id,
        reduction="sum",
    )
    return Loss(total, int(n_tokens.sum()))
