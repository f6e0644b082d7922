"""Packed windows with a part of the text hidden, the same for the same seed and step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from luban.data.batches import Windows
from luban.evaluate.language_model import spread
from luban.records import IGNORE, Batch

Corrupt = Callable[[Batch, torch.Generator], Batch]
"""Hides a part of each row, drawn from the generator, and makes it the target."""
VALIDATION_SEED = 0
"""The same for every run, so that their scores compare."""


class CorruptedWindows:
    """Windows as an objective wants them: what is hidden is drawn anew at each step."""

    def __init__(self, windows: Windows, corrupt: Corrupt, pad_id: int = 0):
        self.windows, self.pad_id = windows, pad_id
        self._corrupt = corrupt

    def at(self, step: int) -> list[Batch]:
        """Return the micro-batches of a step; what is hidden does not depend on how it is divided."""
        parts = self.windows.at(step)
        whole = self._corrupt(joined(parts, self.pad_id), _generator(self.windows.seed, step))
        return _divided(whole, [len(part.tokens) for part in parts])

    @property
    def source_of(self) -> Callable[[int], tuple[int, int]] | None:
        """Of which part of a mixture a sample is, if windows are mixed."""
        return getattr(self.windows, "source_of", None)

    def spread(self, max_windows: int | None = None) -> Iterator[Batch]:
        """Yield windows spread evenly over the split; what a window hides depends on its number alone."""
        for batch in spread(self.windows, max_windows):
            rows = _divided(batch, [1] * len(batch.tokens))
            made = [self._corrupt(row, _generator(VALIDATION_SEED, row.ids[0])) for row in rows]
            yield joined(made, self.pad_id)


def joined(batches: Sequence[Batch], pad_id: int) -> Batch:
    """Return the rows of several batches as one, padded to the widest."""
    fill = {"tokens": pad_id, "documents": 0, "targets": IGNORE, "source": pad_id, "source_documents": 0}
    tensors: dict[str, Any] = {
        name: _stacked([getattr(batch, name) for batch in batches], value)
        for name, value in fill.items()
        if getattr(batches[0], name) is not None
    }
    return Batch(**tensors, ids=tuple(i for batch in batches for i in batch.ids))


def _stacked(parts: Sequence[Tensor], fill: int) -> Tensor:
    width = max(part.shape[1] for part in parts)
    return torch.cat([F.pad(part, (0, width - part.shape[1]), value=fill) for part in parts])


def _divided(batch: Batch, sizes: Sequence[int]) -> list[Batch]:
    parts, start = [], 0
    for size in sizes:
        rows = slice(start, start + size)
        values = {name: getattr(batch, name) for name in (*Batch.tensor_names(), "ids")}
        parts.append(replace(batch, **{k: v[rows] for k, v in values.items() if v is not None}))
        start += size
    return parts


def _generator(seed: int, step: int) -> torch.Generator:
    return torch.Generator().manual_seed((seed * 1_000_003 + step * 7_919 + 1) % (1 << 63))
