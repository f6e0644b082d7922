"""Batches whose content is a pure function of (seed, step), in any process and any call order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from luban.data.epochs import Epochs
from luban.data.order import endless, permute
from luban.data.shards import open_shard
from luban.data.streams import Stream, whole
from luban.errors import DataError
from luban.records import IGNORE, Batch

CHUNK_BATCHES = 50
"""Rows of like length are sought among so many steps' worth: few enough to keep the order random."""
BLUR = 0.1
"""Lengths are compared with so much noise, or small data would make the same batches every epoch."""
Array = np.ndarray[Any, Any]


class Windows(Protocol):
    """Windows of packed documents, whether of one shards folder or mixed from several."""

    context: int
    batch_size: int
    seed: int
    n_tokens: int
    n_readable: int
    """Windows that `read` takes, numbered from 0: the shorter ones at ends of streams included."""
    where: str

    def at(self, step: int) -> list[Batch]:
        """Return the micro-batches of a step, counted from 1."""
        ...

    def in_order(self, max_windows: int | None = None) -> Iterator[Batch]:
        """Yield each window once: what a validation reads."""
        ...

    def read(self, windows: Array) -> Batch:
        """Return the batch of these windows."""
        ...

    def place(self, window: int) -> tuple[str, Stream, int]:
        """Return the part of a mixture that a window is of, its stream, and where it begins there."""
        ...

    def count_bytes(self, batch: Batch) -> float:
        """Return the bytes of text behind the batch's targets."""
        ...


class PackedWindows:
    """Windows of `context` tokens over one split of token shards, documents packed end to end.

    Window k supervises tokens k·context + 1 to (k + 1)·context, so that an epoch predicts each token
    once; the first token of a document is never a target, its end token is.
    """

    def __init__(
        self, split_path_prefix: Path, *, context: int, batch_size: int, seed: int, n_micro_batches: int = 1
    ):
        self.shard = open_shard(split_path_prefix)
        self._stream = whole(self.shard)
        self.context, self.batch_size, self.seed = context, batch_size, seed
        self.n_micro_batches = n_micro_batches
        self.n_tokens, self.n_bytes = len(self.shard.tokens), self.shard.n_bytes
        self.n_windows = (self.n_tokens - 1) // context
        self.n_readable = max(-(-(self.n_tokens - 1) // context), 0)
        self.where = f"{self.shard.prefix.parent} ({self.shard.prefix.name})"

    def at(self, step: int) -> list[Batch]:
        """Return the micro-batches of a step, counted from 1. Every epoch has each window once."""
        per_step = self.batch_size * self.n_micro_batches
        if self.n_windows < per_step:
            raise self._too_small(per_step)
        windows = endless((step - 1) * per_step, step * per_step, self.n_windows, self.seed)
        return [self.read(part) for part in windows.reshape(self.n_micro_batches, self.batch_size)]

    def in_order(self, max_windows: int | None = None) -> Iterator[Batch]:
        """Yield each window once, the last, shorter one padded: what a validation reads."""
        n = self.n_readable if max_windows is None else min(self.n_readable, max_windows)
        for start in range(0, n, self.batch_size):
            yield self.read(np.arange(start, min(start + self.batch_size, n)))

    def read(self, windows: Array) -> Batch:
        """Return the batch of these windows; tokens, documents, targets are (B, context) int64."""
        tokens, documents, targets = (np.empty((len(windows), self.context), np.int64) for _ in range(3))
        self._stream.fill(windows.astype(np.int64) * self.context, (tokens, documents, targets))
        return Batch(
            torch.from_numpy(tokens),
            torch.from_numpy(documents),
            torch.from_numpy(targets),
            tuple(windows.tolist()),
        )

    def place(self, window: int) -> tuple[str, Stream, int]:
        """Return "" for the part, the stream, and where in it the window begins."""
        return "", self._stream, window * self.context

    def count_bytes(self, batch: Batch) -> float:
        """Return the bytes of text behind the batch's targets: what bits per byte divides by."""
        targets = batch.targets[batch.targets != IGNORE]
        return float(self.shard.token_bytes[targets.numpy()].sum())

    def _too_small(self, per_step: int) -> DataError:
        where = self.where
        if not self.n_windows:
            return DataError(
                f"{where} has {self.n_tokens} tokens, less than one window of context = {self.context}",
                fix=f"give more text, or set context to at most {max(self.n_tokens - 1, 1)}",
            )
        return DataError(
            f"a step takes batch_size × n_micro_batches = {per_step} windows, "
            f"and {where} has {self.n_windows} of context = {self.context}",
            fix=f"set batch_size to at most {max(self.n_windows // self.n_micro_batches, 1)}, "
            "lower context, or give more text",
        )


class Bucketed:
    """Rows of like length share a batch, by token budget, so that little of it is padding.

    A step takes rows that, padded, fit n_micro_batches × tokens_per_batch tokens, and deals them out
    evenly to at most n_micro_batches batches: the rows of a step depend on that product alone. (Dealing
    may give a micro-batch one row more than its own share.) A row above the budget is alone.
    """

    def __init__(
        self,
        sequences: Sequence[Sequence[int]],
        targets: Sequence[Any] | Array,
        *,
        tokens_per_batch: int,
        seed: int,
        n_micro_batches: int = 1,
        pad_id: int,
    ):
        self.lengths = np.fromiter(map(len, sequences), np.int64, len(sequences))
        _refuse_empty(self.lengths)
        self._starts = np.concatenate([[0], self.lengths.cumsum()])
        self._flat = np.fromiter((i for s in sequences for i in s), np.int64, int(self._starts[-1]))
        self._targets = np.asarray(targets)  # (n,) classes, (n, K) labels, or numbers
        if self._targets.dtype.kind != "f":
            self._targets = self._targets.astype(np.int64)
        self.tokens_per_batch, self.seed, self.pad_id = tokens_per_batch, seed, pad_id
        self.n_micro_batches = n_micro_batches
        self._epochs = Epochs(self._plan)
        self.steps_per_epoch = self._epochs.steps_per_epoch

    def at(self, step: int) -> list[Batch]:
        """Return the micro-batches of a step, counted from 1; steps tile the epochs exactly."""
        rows = self._epochs.at(step)
        return [self.read(part) for part in np.array_split(rows, min(self.n_micro_batches, len(rows)))]

    def in_order(self) -> Iterator[Batch]:
        """Yield every row once, longest first; `ids` says which rows a batch holds."""
        order, sizes = longest_first(np.arange(len(self.lengths)), self.lengths)
        for rows in _cut(order, sizes, self.tokens_per_batch):
            yield self.read(rows)

    def read(self, rows: Array) -> Batch:
        """Return the batch of these rows, padded to the longest: tokens (B, T), targets (B,) or (B, K)."""
        lengths = self.lengths[rows]
        columns = np.arange(lengths.max())
        real = columns < lengths[:, None]
        where = np.where(real, self._starts[rows][:, None] + columns, 0)
        tokens = np.where(real, self._flat[where], self.pad_id)
        return Batch(
            torch.from_numpy(tokens),
            torch.from_numpy(real.astype(np.int64)),
            torch.from_numpy(self._targets[rows]),
            tuple(rows.tolist()),
        )

    def _plan(self, epoch: int) -> list[Array]:
        """Return the rows of each step of an epoch."""
        n, budget = len(self.lengths), self.tokens_per_batch * self.n_micro_batches
        order = permute(np.arange(n), n, self.seed, 2 * epoch)
        rows_per_step = max(1, budget // max(1, int(self.lengths.mean())))
        n_chunks = max(1, round(n / (CHUNK_BATCHES * rows_per_step)))
        steps: list[Array] = []
        for chunk in np.array_split(order, n_chunks):
            blur = 1 + BLUR * np.arange(len(chunk)) / len(chunk)  # a chunk is in random order already
            sizes = (self.lengths[chunk] * blur).astype(np.int64)
            steps += cut_evenly(*longest_first(chunk, sizes), budget)
        return [steps[i] for i in permute(np.arange(len(steps)), len(steps), self.seed, 2 * epoch + 1)]


def longest_first(rows: Array, sizes: Array) -> tuple[Array, Array]:
    """Return rows and sizes, those of the largest size first."""
    order = np.argsort(-sizes, kind="stable")
    return rows[order], sizes[order]


def _cut(rows: Array, sizes: Array, budget: int) -> list[Array]:
    """Cut rows, longest first, into groups whose padded size keeps to the budget."""
    groups, start = [], 0
    while start < len(rows):
        end = start + max(1, budget // int(sizes[start]))
        groups.append(rows[start:end])
        start = end
    return groups


def cut_evenly(rows: Array, sizes: Array, budget: int) -> list[Array]:
    """Cut into as few groups, by the smallest budget that does: no group is a lonely rest."""
    groups = _cut(rows, sizes, budget)
    low, high = 1, budget
    while low < high:
        middle = (low + high) // 2
        if len(smaller := _cut(rows, sizes, middle)) <= len(groups):
            groups, high = smaller, middle
        else:
            low = middle + 1
    return groups


def _refuse_empty(lengths: Array) -> None:
    if not len(lengths):
        raise DataError("there are no rows to make batches of", fix="check the split and its filters")
    if not lengths.all():
        row = int(np.flatnonzero(lengths == 0)[0])
        raise DataError(f"row {row} has no tokens", fix="leave out rows with an empty text")
