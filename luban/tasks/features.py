"""Training the head alone over a trunk that rests: what the trunk makes of a text is computed once.

The head then learns from one vector a row, many times faster and with the same result as training with
the trunk frozen and without its dropout, for the batches hold the same rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from luban.data.batches import Bucketed
from luban.device import choose_device
from luban.files import write_bytes
from luban.log import Log
from luban.models.heads import pooled
from luban.models.model import Model
from luban.records import Batch

PREFIX = "features-"
EVERY = 50  # batches between two lines of progress


class PooledHead(nn.Module):
    """The head of a model over vectors that have been pooled: (B, 1, C) -> (B, K)."""

    def __init__(self, model: Model):
        super().__init__()
        self.config = model.config
        self.head = model.head

    def forward(self, tokens: Tensor, documents: Tensor | None = None, **others: Any) -> Tensor:
        """Score every class of each row; pooling one vector gives that vector."""
        scores: Tensor = self.head(tokens, None)
        return scores


class FeatureBatches:
    """The batches of a source with a row's vector in place of its tokens: tokens are (B, 1, C)."""

    def __init__(self, source: Bucketed, features: Tensor):
        self._source, self._features = source, features
        self.steps_per_epoch = source.steps_per_epoch

    def at(self, step: int) -> list[Batch]:
        """Return the micro-batches of a step: of the rows that the source has there."""
        return [self._filled(batch) for batch in self._source.at(step)]

    def in_order(self) -> Iterator[Batch]:
        """Yield every row once."""
        return map(self._filled, self._source.in_order())

    def _filled(self, batch: Batch) -> Batch:
        rows = list(batch.ids)
        ones = torch.ones(len(rows), 1, dtype=torch.long)
        return Batch(self._features[rows][:, None], ones, batch.targets, batch.ids)


def trunk_key(model: Model) -> str:
    """Return a name for all that decides a model's vectors, but for the texts."""
    digest = hashlib.sha256(repr(model.config).encode())
    for name, p in model.named_parameters():
        if not name.startswith("head."):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(p.detach().cpu().numpy()).data)
    return digest.hexdigest()


def features(model: Model, source: Bucketed, ids: list[list[int]], out: Path, log: Log) -> Tensor:
    """Return the pooled vector of each row (N, C); kept in `out` for a run that goes on."""
    from safetensors.torch import load_file, save

    digest = hashlib.sha256(trunk_key(model).encode())
    digest.update(repr(ids).encode())
    path = out / f"{PREFIX}{digest.hexdigest()[:16]}.safetensors"
    if path.is_file():
        return load_file(path)["features"]
    found = _compute(model, source, log)
    write_bytes(path, save({"features": found}))
    return found


def remove_features(out: Path) -> None:
    """Delete what was kept for going on."""
    for path in out.glob(f"{PREFIX}*.safetensors"):
        path.unlink()


@torch.no_grad()
def _compute(model: Model, source: Bucketed, log: Log) -> Tensor:
    device = choose_device()
    was_training = model.training
    model.to(device).eval()
    n_rows = len(source.lengths)
    found = torch.zeros(n_rows, model.config.dim)
    n_done = 0
    for i, batch in enumerate(source.in_order()):
        moved = batch.to(device)
        hidden = model.hidden(moved.tokens, moved.documents)
        found[list(batch.ids)] = pooled(hidden, moved.documents, model.config.head.pool).float().cpu()
        n_done += len(batch.ids)
        if i % EVERY == EVERY - 1:
            log.say(f"  vectors of {n_done:,} of {n_rows:,} rows", rows=n_done)
    model.train(was_training)
    return found
