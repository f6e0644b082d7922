"""Score answers so that the better one of each pair scores higher: Bradley and Terry's model."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from luban.records import Batch, Loss


def reward(model: nn.Module, batch: Batch) -> Loss:
    """Sum −log σ(s(w) − s(l)) over pairs, one target each; the head gives one score a row, (B, 1).

    Rows 2k and 2k + 1 are a pair, the chosen answer first. Source: arXiv:2203.02155 equation 1.
    """
    scores = model(batch.tokens, batch.documents)
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32)).view(-1, 2)
    return Loss(-F.logsigmoid(scores[:, 0] - scores[:, 1]).sum(), len(scores))
