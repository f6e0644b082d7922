"""How well a language model predicts text it never saw, in bits per byte of that text."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from luban.data.batches import PackedWindows, Windows
from luban.errors import DataError
from luban.objectives.next_token import next_token
from luban.records import IGNORE, Batch


@torch.no_grad()
def bits_per_byte(model: nn.Module, windows: Windows, max_windows: int | None = None) -> dict[str, float]:
    """Return `loss` in nats per target and `bits_per_byte`, which compares across tokenizers.

    Both are exact over all windows, or over `max_windows` of them spread evenly over the split.
    """
    model.eval()
    device = next(model.parameters()).device
    nats, n_targets, n_bytes = 0.0, 0, 0.0
    for batch in spread(windows, max_windows):
        loss = next_token(model, batch.to(device))
        nats, n_targets = nats + loss.total.item(), n_targets + int(loss.n_targets)
        n_bytes += windows.count_bytes(batch)
    if not n_bytes:
        raise DataError(
            f"{windows.where} has {windows.n_tokens} tokens, and none of them can be predicted",
            fix="give more text, or a larger share to this split",
        )
    return {"loss": nats / n_targets, "bits_per_byte": nats / math.log(2) / n_bytes}


@torch.no_grad()
def document_bits(model: nn.Module, windows: PackedWindows) -> list[dict[str, Any]]:
    """Return {id, bits, bytes, targets} of every document: the rows that an interval resamples."""
    model.eval()
    device = next(model.parameters()).device
    ids = windows.shard.document_ids()
    bits, n_bytes, n_targets = (np.zeros(len(ids)) for _ in range(3))
    for batch in spread(windows, None):
        supervised = batch.targets != IGNORE
        moved = batch.to(device)
        logits = model(moved.tokens, moved.documents)[supervised.to(device)].float()
        nats = F.cross_entropy(logits, moved.targets[supervised.to(device)], reduction="none").cpu().numpy()
        rows, columns = (part.numpy() for part in supervised.nonzero(as_tuple=True))
        places = np.asarray(batch.ids)[rows] * windows.context + columns + 1
        documents = np.searchsorted(windows.shard.offsets, places, "right") - 1
        tokens = batch.targets[supervised].numpy()
        np.add.at(bits, documents, nats / math.log(2))
        np.add.at(n_bytes, documents, windows.shard.token_bytes[tokens])
        np.add.at(n_targets, documents, 1)
    return [
        {"id": id, "bits": float(bits[i]), "bytes": int(n_bytes[i]), "targets": int(n_targets[i])}
        for i, id in enumerate(ids)
        if n_bytes[i]
    ]


def spread(windows: Windows, max_windows: int | None) -> Iterator[Batch]:
    """Yield all windows of a split, or `max_windows` of them spread evenly over it."""
    if max_windows is None or windows.n_readable <= max_windows:
        yield from windows.in_order()
        return
    chosen = np.linspace(0, windows.n_readable - 1, max_windows).round().astype(np.int64)
    for start in range(0, max_windows, windows.batch_size):
        yield windows.read(chosen[start : start + windows.batch_size])
