"""Batches of rows whose every token has a target of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from luban.data.batches import Bucketed
from luban.records import IGNORE, Batch


class TagBatches(Bucketed):
    """Rows of like length, with a tag or IGNORE for each token: targets are (B, T)."""

    def __init__(self, sequences: Sequence[Sequence[int]], tags: Sequence[Sequence[int]], **settings: Any):
        super().__init__(sequences, np.zeros(len(sequences), np.int64), **settings)
        self._tags = [np.asarray(row, np.int64) for row in tags]

    def read(self, rows: np.ndarray[Any, Any]) -> Batch:
        """Return the batch of these rows, padded to the longest."""
        batch = super().read(rows)
        targets = np.full(batch.tokens.shape, IGNORE, np.int64)
        for i, row in enumerate(rows):
            targets[i, : len(self._tags[row])] = self._tags[row]
        return replace(batch, targets=torch.from_numpy(targets))
