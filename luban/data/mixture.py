"""Batches mixed from several parts of the data by weight: still a pure function of (seed, step)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from luban.data.mixture_settings import MixtureSettings
from luban.data.order import endless
from luban.data.parts import open_parts, shares
from luban.data.streams import Stream
from luban.data.turns import plan_turns
from luban.errors import DataError
from luban.records import IGNORE, Batch

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Read:
    """How much of a part a run reads: its own windows, those read, and how often that is each."""

    name: str
    windows: int
    tokens: int
    read: int
    share: float
    epochs: float


class MixedWindows:
    """Windows of `context` tokens from parts of shards, which take turns by their weights.

    A window lies inside one part; every epoch of a part has each of its windows once, in another order.
    An epoch of the whole is as many windows as the parts have; its shares are exact to within a window.
    `ids` number all windows of all parts, the last, shorter one of each stream included.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        split: str,
        mixture: MixtureSettings,
        *,
        context: int,
        batch_size: int,
        seed: int,
        n_micro_batches: int = 1,
    ):
        self.context, self.batch_size, self.seed = context, batch_size, seed
        self.n_micro_batches = n_micro_batches
        self.where = f"{', '.join(map(str, folders))} ({split})"
        self.parts = open_parts(folders, split, mixture)
        self.streams = [stream for part in self.parts for stream in part.streams]
        self._of_stream = np.repeat(np.arange(len(self.parts)), [len(part.streams) for part in self.parts])
        n_tokens = np.array([stream.n_tokens for stream in self.streams])
        self._n_windows = np.maximum(n_tokens - 1, 0) // context
        self._first = np.concatenate([[0], np.maximum(-(-(n_tokens - 1) // context), 0).cumsum()])
        self.n_tokens, self.n_readable = int(n_tokens.sum()), int(self._first[-1])
        self.sizes = np.bincount(self._of_stream, self._n_windows, len(self.parts)).astype(np.int64)
        self._mixture = mixture
        self._plan()

    def _plan(self) -> None:
        per_step = self.batch_size * self.n_micro_batches
        if self.sizes.sum() < per_step:
            raise DataError(
                f"a step takes batch_size × n_micro_batches = {per_step} windows, and {self.where} has "
                f"{self.sizes.sum()} of context = {self.context}",
                fix="lower batch_size or context, or give more text",
            )
        ends = [(phase.until_step or 0) * per_step for phase in self._mixture.phases[:-1]]
        found = shares(self.parts, self.sizes, self._mixture)
        self.turns = plan_turns(found, ends, epoch=int(self.sizes.sum()), blend=self._mixture.blend)

    def at(self, step: int) -> list[Batch]:
        """Return the micro-batches of a step, counted from 1."""
        per_step = self.batch_size * self.n_micro_batches
        windows = self.windows((step - 1) * per_step, step * per_step)
        return [self.read(part) for part in windows.reshape(self.n_micro_batches, self.batch_size)]

    def windows(self, start: int, stop: int) -> Array:
        """Return the ids of the windows start..stop-1 of a run."""
        parts, turns = self.turns.take(start, stop)
        ids = np.empty(len(parts), np.int64)
        for part in np.unique(parts).tolist():
            here = parts == part
            first, last = int(turns[here][0]), int(turns[here][-1])
            order = endless(first, last + 1, int(self.sizes[part]), self.seed + part)
            ids[here] = self._ids(part, order)
        return ids

    def _ids(self, part: int, numbers: Array) -> Array:
        """Return the ids of a part's whole windows, which are numbered across its streams."""
        streams = np.flatnonzero(self._of_stream == part)
        firsts = np.concatenate([[0], self._n_windows[streams].cumsum()])
        nth = np.searchsorted(firsts, numbers, "right") - 1
        return numbers - firsts[nth] + self._first[streams[nth]]

    def read(self, windows: Array) -> Batch:
        """Return the batch of these windows; tokens, documents, targets are (B, context) int64."""
        windows = np.asarray(windows)
        tokens, documents, targets = (np.empty((len(windows), self.context), np.int64) for _ in range(3))
        of_row = np.searchsorted(self._first, windows, "right") - 1
        for stream in np.unique(of_row).tolist():
            rows = np.flatnonzero(of_row == stream)
            starts = (windows[rows] - self._first[stream]) * self.context
            self.streams[stream].fill(starts, (tokens, documents, targets), rows)
        return Batch(
            torch.from_numpy(tokens),
            torch.from_numpy(documents),
            torch.from_numpy(targets),
            tuple(windows.tolist()),
        )

    def in_order(self, max_windows: int | None = None) -> Iterator[Batch]:
        """Yield each window once, part after part, the shorter ones padded."""
        n = self.n_readable if max_windows is None else min(self.n_readable, max_windows)
        for start in range(0, n, self.batch_size):
            yield self.read(np.arange(start, min(start + self.batch_size, n)))

    def place(self, window: int) -> tuple[str, Stream, int]:
        """Return the part of a window, its stream, and where in the stream it begins."""
        stream = int(np.searchsorted(self._first, window, "right")) - 1
        name = self.parts[int(self._of_stream[stream])].name
        return name, self.streams[stream], (window - int(self._first[stream])) * self.context

    def source_of(self, window: int) -> tuple[int, int]:
        """Return the number of a window's part, and its number among the part's whole windows."""
        stream = int(np.searchsorted(self._first, window, "right")) - 1
        part = int(self._of_stream[stream])
        before = self._n_windows[:stream][self._of_stream[:stream] == part].sum()
        return part, window - int(self._first[stream]) + int(before)

    def count_bytes(self, batch: Batch) -> float:
        """Return the bytes of text behind the batch's targets: what bits per byte divides by."""
        targets = batch.targets[batch.targets != IGNORE]
        return float(self.streams[0].shard.token_bytes[targets.numpy()].sum())

    def reads(self, steps: int) -> list[Read]:
        """Return how much of each part a run of so many steps reads."""
        counts = self.turns.counts(steps * self.batch_size * self.n_micro_batches)
        tokens = np.bincount(self._of_stream, [s.n_tokens for s in self.streams], len(self.parts))
        rows = zip(self.parts, self.sizes.tolist(), tokens.tolist(), counts.tolist(), strict=True)
        total = max(1, int(counts.sum()))
        return [
            Read(part.name, n, int(size), count, count / total, count / n if n else 0.0)
            for part, n, size, count in rows
        ]
