"""Rows that are scored against each other, such as two answers to one question, together in a batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from luban.data.batches import BLUR, CHUNK_BATCHES, cut_evenly, longest_first
from luban.data.epochs import Epochs
from luban.data.order import permute
from luban.errors import DataError
from luban.records import IGNORE, Batch

Array = np.ndarray[Any, Any]
Row = tuple[list[int], list[bool]]
"""Ids, and which of them are to be said."""


class RowGroups:
    """Groups of `size` rows each; a batch holds whole groups, one row of the batch a row.

    Rows size·k to size·(k + 1) are group k. A step takes groups of like length that, padded, fit
    n_micro_batches × tokens_per_batch places; a group above that is alone. Content is a pure function
    of (seed, step); every epoch has each group once. reference (n,): a number for each row. signal
    (n / size, K): what is known of each group.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        size: int,
        *,
        tokens_per_batch: int,
        seed: int,
        n_micro_batches: int = 1,
        pad_id: int = 0,
        signal: Array | None = None,
    ):
        if not rows:
            raise DataError("there are no rows to make batches of", fix="check the split and its filters")
        self._rows, self.size, self.pad_id = rows, size, pad_id
        self.tokens_per_batch, self.n_micro_batches, self.seed = tokens_per_batch, n_micro_batches, seed
        lengths = np.array([len(ids) for ids, _ in rows], np.int64)
        self.n_tokens = int(lengths.sum())
        self._sizes = lengths.reshape(-1, size).max(1) * size
        self.signal = np.ones((len(self), 1), np.float32) if signal is None else signal
        self.reference: Array | None = None
        """Set once it is known: see `reference_of`."""
        self._epochs = Epochs(self._plan)
        self.steps_per_epoch = self._epochs.steps_per_epoch

    def __len__(self) -> int:
        return len(self._sizes)

    def at(self, step: int) -> list[Batch]:
        """Return the micro-batches of a step, counted from 1; steps tile the epochs exactly."""
        groups = self._epochs.at(step)
        return [self.read(part) for part in np.array_split(groups, min(self.n_micro_batches, len(groups)))]

    def in_order(self) -> Iterator[Batch]:
        """Yield every group once, longest first; `ids` says which rows a batch holds."""
        for groups in cut_evenly(*longest_first(np.arange(len(self)), self._sizes), self.tokens_per_batch):
            yield self.read(groups)

    def read(self, groups: Array) -> Batch:
        """Return the batch of these groups, padded to the longest row: tokens, targets (B, T)."""
        numbers = (groups[:, None] * self.size + np.arange(self.size)).reshape(-1)
        rows = [self._rows[i] for i in numbers.tolist()]
        tokens, documents, targets = padded(rows, self.pad_id)
        reference = None if self.reference is None else torch.from_numpy(self.reference[numbers])
        return Batch(
            tokens,
            documents,
            targets,
            tuple(numbers.tolist()),
            reference=reference,
            signal=torch.from_numpy(self.signal[groups]),
            group=self.size,
        )

    def _plan(self, epoch: int) -> list[Array]:
        n, budget = len(self), self.tokens_per_batch * self.n_micro_batches
        order = permute(np.arange(n), n, self.seed, 2 * epoch)
        per_step = max(1, budget // max(1, int(self._sizes.mean())))
        steps: list[Array] = []
        for chunk in np.array_split(order, max(1, round(n / (CHUNK_BATCHES * per_step)))):
            blur = 1 + BLUR * np.arange(len(chunk)) / len(chunk)
            sizes = (self._sizes[chunk] * blur).astype(np.int64)
            steps += cut_evenly(*longest_first(chunk, sizes), budget)
        return [steps[i] for i in permute(np.arange(len(steps)), len(steps), self.seed, 2 * epoch + 1)]


def padded(rows: Sequence[Row], pad_id: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return tokens, documents and targets (B, T) of rows, padded to the longest."""
    width = max(len(ids) for ids, _ in rows)
    tokens = np.full((len(rows), width), pad_id, np.int64)
    documents, targets = np.zeros_like(tokens), np.full_like(tokens, IGNORE)
    for i, (ids, supervised) in enumerate(rows):
        tokens[i, : len(ids)], documents[i, : len(ids)] = ids, 1
        targets[i, : len(ids) - 1] = np.where(supervised, ids, IGNORE)[1:]
    return torch.from_numpy(tokens), torch.from_numpy(documents), torch.from_numpy(targets)
