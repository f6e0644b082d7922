"""Predict the next token at every supervised position."""

from __future__ import annotations

from torch import nn

from luban.objectives.vocabulary import supervised_tokens
from luban.records import Batch, Loss


def next_token(model: nn.Module, batch: Batch) -> Loss:
    """Sum the cross-entropy of every next token, in nats. targets (B, T): tokens, one place earlier."""
    return supervised_tokens(model, batch)
