"""Rows of tokens packed whole into lines, so that next to nothing is padding; a pure function of the step."""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from luban.data.epochs import Epochs
from luban.data.order import permute
from luban.errors import DataError
from luban.records import IGNORE, Batch

CHUNK_STEPS = 50
"""Rows that fit together are sought among so many steps' worth: few enough to keep the order random."""
Array = np.ndarray[Any, Any]
Lines = list[list[int]]
"""The rows of each line."""


class PackedRows:
    """Rows of any length, each whole in a line; lines of a step are as long as the longest row in it.

    Attention costs the square of a line's length, so rows of like length share a step, and what is left
    of a line goes to a shorter row. A step takes lines of n_micro_batches × tokens_per_batch places in
    all, dealt out evenly to at most n_micro_batches batches; a row above that is alone. `supervised`
    says of each token whether it is to be predicted. Rows never see each other.
    """

    def __init__(
        self,
        rows: Sequence[Sequence[int]],
        supervised: Sequence[Sequence[bool]],
        *,
        tokens_per_batch: int,
        seed: int,
        n_micro_batches: int = 1,
        pad_id: int = 0,
    ):
        if not rows:
            raise DataError("there are no rows to make batches of", fix="check the split and its filters")
        self._lengths = [len(row) for row in rows]
        self._starts = np.concatenate([[0], np.cumsum(self._lengths)])
        self._tokens = np.concatenate([np.asarray(row, np.int64) for row in rows])
        self._supervised = np.concatenate([np.asarray(flags, bool) for flags in supervised])
        self.tokens_per_batch, self.n_micro_batches = tokens_per_batch, n_micro_batches
        self.seed, self.pad_id = seed, pad_id
        self.n_targets = int(self._supervised.sum())
        self._epochs = Epochs(self._plan)
        self.steps_per_epoch = self._epochs.steps_per_epoch

    def at(self, step: int) -> list[Batch]:
        """Return the micro-batches of a step, counted from 1; steps tile the epochs exactly."""
        lines = self._epochs.at(step)
        n = min(self.n_micro_batches, len(lines))
        return [self.read(lines[i::n]) for i in range(n)]

    def in_order(self) -> Iterator[Batch]:
        """Yield every row once, longest first; `ids` says which rows a batch holds."""
        for lines in pack(range(len(self._lengths)), self._lengths, self.tokens_per_batch):
            yield self.read(lines)

    def read(self, lines: Lines) -> Batch:
        """Return the batch of these lines, padded to the longest: tokens, documents, targets (B, T)."""
        width = max(sum(self._lengths[row] for row in line) for line in lines)
        tokens = np.full((len(lines), width), self.pad_id, np.int64)
        documents = np.zeros_like(tokens)
        targets = np.full_like(tokens, IGNORE)
        for i, line in enumerate(lines):
            place = 0
            for number, row in enumerate(line, start=1):
                inside = slice(self._starts[row], self._starts[row] + self._lengths[row])
                ids, end = self._tokens[inside], place + self._lengths[row]
                tokens[i, place:end], documents[i, place:end] = ids, number
                shown = np.where(self._supervised[inside], ids, IGNORE)
                targets[i, place : end - 1] = shown[1:]
                place = end
        ids_of_rows = tuple(row for line in lines for row in line)
        return Batch(
            torch.from_numpy(tokens), torch.from_numpy(documents), torch.from_numpy(targets), ids_of_rows
        )

    def _plan(self, epoch: int) -> list[Lines]:
        n, budget = len(self._lengths), self.tokens_per_batch * self.n_micro_batches
        order = permute(np.arange(n), n, self.seed, 2 * epoch)
        n_chunks = max(1, round(sum(self._lengths) / (CHUNK_STEPS * budget)))
        steps: list[Lines] = []
        for chunk in np.array_split(order, n_chunks):
            steps += pack_evenly(chunk.tolist(), self._lengths, budget)
        return [steps[i] for i in permute(np.arange(len(steps)), len(steps), self.seed, 2 * epoch + 1)]


def pack(rows: Sequence[int], lengths: Sequence[int], budget: int) -> list[Lines]:
    """Put rows into lines, and lines into groups whose places, lines × longest, keep to the budget.

    The longest rows that are left begin the lines of a group; each gap is filled by the longest row
    that fits (best-fit decreasing).
    """
    left = sorted((lengths[row], -i) for i, row in enumerate(rows))  # of equal ones, the first comes last
    groups = []
    while left:
        width = left[-1][0]
        lines: Lines = []
        while left and (len(lines) + 1) * width <= max(budget, width):
            line, room = [], width
            while (k := bisect.bisect_right(left, (room, 0))) > 0:
                length, i = left.pop(k - 1)
                line.append(rows[-i])
                room -= length
            lines.append(line)
        groups.append(lines)
    return groups


def pack_evenly(rows: Sequence[int], lengths: Sequence[int], budget: int) -> list[Lines]:
    """Pack into as few groups, by the smallest budget that does: no group is a lonely rest."""
    groups = pack(rows, lengths, budget)
    low, high = 1, budget
    while low < high:
        middle = (low + high) // 2
        smaller = pack(rows, lengths, middle)
        if len(smaller) <= len(groups):
            groups, high = smaller, middle
        else:
            low = middle + 1
    return groups
