"""Rows of running words whose neighbours are to be told: batches for word vectors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from luban.data.passages import Passages
from luban.errors import DataError
from luban.records import IGNORE, Batch

Array = np.ndarray[Any, Any]


class WordRows:
    """Rows of `context` words; a passage goes on in the next row, and rows may hold several.

    In every epoch each word is dropped anew with its own chance, which brings those that stay closer
    together, and the rows are cut at other places. All of it is a pure function of (seed, step).
    """

    def __init__(
        self,
        passages: Passages,
        keep: Array,
        *,
        context: int,
        batch_size: int,
        seed: int,
        n_micro_batches: int = 1,
    ):
        self.passages, self.keep, self.context, self.seed = passages, keep, context, seed
        self.batch_size, self.n_micro_batches = batch_size, n_micro_batches
        n_kept = float(keep[passages.words].sum(dtype=np.float64))
        per_step = context * batch_size * n_micro_batches
        self.steps_per_epoch = max(1, round(n_kept / per_step))
        self._epoch: tuple[int, Array, Array, Array] | None = None

    def at(self, step: int) -> list[Batch]:
        """Return the micro-batches of a step, counted from 1. Every epoch has each row once."""
        epoch, i = divmod(step - 1, self.steps_per_epoch)
        words, documents, order = self._rows(epoch)
        n_parts = self.steps_per_epoch * self.n_micro_batches
        first = i * self.n_micro_batches
        cuts = [len(order) * k // n_parts for k in range(first, first + self.n_micro_batches + 1)]
        parts = [order[a:b] for a, b in zip(cuts, cuts[1:], strict=False) if b > a]
        return [_batch(words[part], documents[part], part) for part in parts]

    def in_order(self) -> Iterator[Batch]:
        """Yield every row once, no word dropped: what a validation reads."""
        words, documents = self._cut(self.passages.words, self.passages.numbers, 0)
        for start in range(0, len(words), self.batch_size):
            part = np.arange(start, min(start + self.batch_size, len(words)))
            yield _batch(words[part], documents[part], part)

    def _rows(self, epoch: int) -> tuple[Array, Array, Array]:
        """Return the words and documents of an epoch's rows, and the order in which they come."""
        if self._epoch is None or self._epoch[0] != epoch:
            draw = np.random.default_rng((self.seed, epoch))
            words = self.passages.words
            kept = draw.random(len(words), np.float32) < self.keep[words]
            if not kept.any():
                raise DataError(
                    f"of {len(words)} words, epoch {epoch + 1} keeps none",
                    fix="raise subsample, or set it to 0",
                )
            rows = self._cut(words[kept], self.passages.numbers[kept], int(draw.integers(self.context)))
            self._epoch = (epoch, *rows, draw.permutation(len(rows[0])))
        return self._epoch[1:]

    def _cut(self, words: Array, numbers: Array, offset: int) -> tuple[Array, Array]:
        """Cut into rows, the first `offset` places empty: (N,) -> words and documents (R, context)."""
        n_rows = -(-(offset + len(words)) // self.context)
        padded = np.zeros((2, n_rows * self.context), np.int32)
        padded[:, offset : offset + len(words)] = words, numbers + 1
        found, documents = padded.reshape(2, n_rows, self.context)
        # Passages are numbered from 1 inside each row; its first words may be padding.
        least = np.where(documents > 0, documents, np.iinfo(np.int32).max).min(1, keepdims=True)
        return found, np.where(documents > 0, documents - least + 1, 0)


def keep_chances(counts: Array, subsample: float) -> Array:
    """Return each word's chance to stay, sqrt(subsample / share) up to 1; all stay if subsample is 0.

    Source: arXiv:1310.4546 equation 5.
    """
    if not subsample:
        return np.ones(len(counts), np.float32)
    share = counts / max(1, counts.sum())
    return np.minimum(1, np.sqrt(subsample / np.maximum(share, 1e-30))).astype(np.float32)


def _batch(words: Array, documents: Array, rows: Array) -> Batch:
    tokens = torch.from_numpy(words.astype(np.int64))
    numbers = torch.from_numpy(documents.astype(np.int64))
    return Batch(tokens, numbers, torch.where(numbers > 0, tokens, IGNORE), tuple(rows.tolist()))
