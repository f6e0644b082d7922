"""Say a number, or several, about a text."""

from __future__ import annotations

from torch import nn

from luban.records import Batch, Loss


def regression(model: nn.Module, batch: Batch) -> Loss:
    """Sum the squared error of every number. targets (B,) or (B, K); nan where it is not known."""
    predicted = model(batch.tokens, batch.documents).float()  # (B, K)
    targets = batch.targets.view_as(predicted)
    known = ~targets.isnan()
    errors = predicted[known] - targets[known]
    return Loss(errors.square().sum(), int(known.sum()))
