"""Say a number, or several, about a text."""

from __future__ import annotations

from torch import Tensor, nn

from luban.objectives.classes import weights_of
from luban.records import Batch, Loss


def regression(model: nn.Module, batch: Batch, *, row_weights: Tensor | None = None) -> Loss:
    """Sum the squared error of every number. targets (B,) or (B, K); nan where it is not known.

    row_weights (N,): what each row of the data counts, by its number in batch.ids.
    """
    predicted = model(batch.tokens, batch.documents).float()  # (B, K)
    targets = batch.targets.view_as(predicted)
    known = ~targets.isnan()
    squares = (predicted - targets.where(known, predicted)).square()
    if row_weights is not None:
        squares = squares * weights_of(batch, row_weights, squares)[:, None]
    return Loss(squares[known].sum(), int(known.sum()))
