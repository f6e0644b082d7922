"""Whether the processes of a job have prepared the same run, each for itself."""

from __future__ import annotations

import hashlib
import json

from torch import nn

from luban.errors import DataError
from luban.records import Batch
from luban.train.prefetch import Batches
from luban.train.ranks import Ranks


def check_alike(model: nn.Module, batches: Batches, ranks: Ranks) -> None:
    """Refuse to train where another process has another model, or draws other samples for a step."""
    if ranks.mesh is None:
        return
    shapes = {name: list(p.shape) for name, p in model.named_parameters()}
    samples = [_digest(batch) for batch in batches.at(1)]
    mine = {"weights": _sum(json.dumps(shapes)), "samples of step 1": _sum(json.dumps(samples))}
    first = ranks.share(mine)
    for what, value in mine.items():
        if ranks.any(value != first[what]):
            raise DataError(
                f"the processes do not have the same {what}",
                fix="give every host the same inputs at the same paths, and the same versions of packages",
            )


def _digest(batch: Batch) -> list[str]:
    tensors = [getattr(batch, name) for name in Batch.tensor_names()]
    return [hashlib.sha256(t.numpy().tobytes()).hexdigest() for t in tensors if t is not None]


def _sum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
