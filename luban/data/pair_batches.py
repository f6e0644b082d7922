"""Batches of sentence pairs: those of like lengths together, both sides counted by one token budget."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from luban.data.batches import BLUR, CHUNK_BATCHES
from luban.data.epochs import Epochs
from luban.data.order import permute
from luban.errors import DataError
from luban.records import IGNORE, Batch

Array = np.ndarray[Any, Any]


class BucketedPairs:
    """Pairs (source ids, target ids) of like lengths share a batch, so that little of it is padding.

    A step takes pairs whose padded sources and targets together fit n_micro_batches × tokens_per_batch
    tokens; a pair above the budget is alone. The decoder reads a target one place later, after
    `start_id`. Content is a pure function of (seed, step); every epoch has each pair once.
    """

    def __init__(
        self,
        sources: Sequence[Sequence[int]],
        targets: Sequence[Sequence[int]],
        *,
        tokens_per_batch: int,
        seed: int,
        start_id: int,
        pad_id: int,
        n_micro_batches: int = 1,
    ):
        self._source, self._target = _Side(sources, "source"), _Side(targets, "target")
        self.sizes = self._source.lengths + self._target.lengths
        self.tokens_per_batch, self.seed, self.n_micro_batches = tokens_per_batch, seed, n_micro_batches
        self.start_id, self.pad_id = start_id, pad_id
        self._epochs = Epochs(self._plan)
        self.steps_per_epoch = self._epochs.steps_per_epoch

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def longest_source(self) -> int:
        """Tokens of the longest source."""
        return int(self._source.lengths.max())

    def at(self, step: int) -> list[Batch]:
        """Return the micro-batches of a step, counted from 1; steps tile the epochs exactly."""
        rows = self._epochs.at(step)
        return [self.read(part) for part in np.array_split(rows, min(self.n_micro_batches, len(rows)))]

    def in_order(self) -> Iterator[Batch]:
        """Yield every pair once, longest first; `ids` says which rows a batch holds."""
        for rows in self._groups(np.arange(len(self)), self.tokens_per_batch):
            yield self.read(rows)

    def read(self, rows: Array) -> Batch:
        """Return the batch of these pairs, each side padded to its longest: (B, S) and (B, T)."""
        source, source_real = self._source.padded(rows, self.pad_id)
        target, real = self._target.padded(rows, IGNORE)
        said = np.concatenate([np.full((len(rows), 1), self.start_id), target[:, :-1]], 1)
        tensors = (np.where(real, said, self.pad_id), real.astype(np.int64), target)
        tokens, documents, targets = map(torch.from_numpy, tensors)
        return Batch(
            tokens,
            documents,
            targets,
            tuple(rows.tolist()),
            torch.from_numpy(source),
            torch.from_numpy(source_real.astype(np.int64)),
        )

    def _plan(self, epoch: int) -> list[Array]:
        """Return the rows of each step of an epoch."""
        n, budget = len(self), self.tokens_per_batch * self.n_micro_batches
        order = permute(np.arange(n), n, self.seed, 2 * epoch)
        rows_per_step = max(1, budget // max(1, int(self.sizes.mean())))
        n_chunks = max(1, round(n / (CHUNK_BATCHES * rows_per_step)))
        steps = [group for chunk in np.array_split(order, n_chunks) for group in self._groups(chunk, budget)]
        return [steps[i] for i in permute(np.arange(len(steps)), len(steps), self.seed, 2 * epoch + 1)]

    def _groups(self, rows: Array, budget: int) -> list[Array]:
        """Cut rows into groups of like lengths, by the smallest budget that gives no more of them: no group
        is a lonely rest.

        Target lengths are compared in steps of a tenth, and among like targets source lengths.
        """
        coarse = (np.log(self._target.lengths[rows]) / np.log1p(BLUR)).astype(np.int64)
        order = rows[np.lexsort((-self._source.lengths[rows], -coarse))]
        groups = self._cut(order, budget)
        low, high = 1, budget
        while low < high:
            middle = (low + high) // 2
            if len(smaller := self._cut(order, middle)) <= len(groups):
                groups, high = smaller, middle
            else:
                low = middle + 1
        return groups

    def _cut(self, order: Array, budget: int) -> list[Array]:
        groups, start = [], 0
        while start < len(order):
            end = start + self._n_fitting(order[start:], budget)
            groups.append(order[start:end])
            start = end
        return groups

    def _n_fitting(self, rows: Array, budget: int) -> int:
        """Return how many of the next rows fit the budget, padded; at least one."""
        most = max(1, budget // int(self.sizes[rows[0]]))
        rows = rows[: 2 * most + 16]
        widths = np.maximum.accumulate(self._source.lengths[rows])
        widths += np.maximum.accumulate(self._target.lengths[rows])
        costs = widths * np.arange(1, len(rows) + 1)
        return max(1, int(np.searchsorted(costs, budget, side="right")))


class _Side:
    """One side of the pairs, flat."""

    def __init__(self, sequences: Sequence[Sequence[int]], name: str):
        self.lengths = np.fromiter(map(len, sequences), np.int64, len(sequences))
        if not len(self.lengths):
            raise DataError("there are no pairs to make batches of", fix="check the split and its filters")
        if not self.lengths.all():
            row = int(np.flatnonzero(self.lengths == 0)[0])
            raise DataError(
                f"the {name} of pair {row} has no tokens", fix="leave out pairs with an empty side"
            )
        self._starts = np.concatenate([[0], self.lengths.cumsum()])
        self._flat = np.fromiter((i for s in sequences for i in s), np.int64, int(self._starts[-1]))

    def padded(self, rows: Array, fill: int) -> tuple[Array, Array]:
        """Return the sequences of rows (B, L) and which places hold a token."""
        lengths = self.lengths[rows]
        columns = np.arange(lengths.max())
        real = columns < lengths[:, None]
        where = np.where(real, self._starts[rows][:, None] + columns, 0)
        return np.where(real, self._flat[where], fill), real
