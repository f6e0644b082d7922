"""How well a model restores what was hidden from it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from luban.errors import DataError
from luban.objectives.vocabulary import CHUNK_BYTES, hidden_states
from luban.records import IGNORE, Batch


@torch.no_grad()
def restored(model: nn.Module, batches: Iterable[Batch]) -> dict[str, float]:
    """Return `loss` in nats per target, and `accuracy`, the share of targets with the highest score.

    Neither compares across tokenizers, nor across ways and shares of hiding.
    """
    model.eval()
    body: Any = model
    device = next(model.parameters()).device
    nats, n_right, n_targets = 0.0, 0, 0
    for batch in batches:
        moved = batch.to(device)
        supervised = moved.targets != IGNORE
        features = body.head.features(hidden_states(model, moved)[supervised])
        targets = moved.targets[supervised]
        n_rows = max(1, CHUNK_BYTES // (4 * len(body.head.weight)))
        for start in range(0, len(features), n_rows):
            part = slice(start, start + n_rows)
            logits = F.linear(features[part], body.head.weight, body.head.bias).float()
            nats += F.cross_entropy(logits, targets[part], reduction="sum").item()
            n_right += int((logits.argmax(-1) == targets[part]).sum())
        n_targets += len(targets)
    if not n_targets:
        raise DataError(
            "the validation split has no token to hide",
            fix="give more or longer texts, or a larger share to this split",
        )
    return {"loss": nats / n_targets, "accuracy": n_right / n_targets}
