"""Texts as rows of token ids: cut to what a model reads, or as windows that overlap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from luban.tasks.decision import Decision
from luban.tasks.sequences import encode_texts
from luban.tokenizer import Tokenizer

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
WHOLE = 1 << 40
"""So many tokens no text has."""


@dataclass(frozen=True, slots=True, eq=False)
class TextRows:
    """Rows of token ids, and which text each is of."""

    ids: list[list[int]]
    owners: Ints
    """Number of the text behind each row; the rows of a text follow each other."""
    n_long: int
    """Texts with more tokens than a row may have."""

    @property
    def n_texts(self) -> int:
        """Texts behind the rows."""
        return int(self.owners[-1]) + 1 if len(self.owners) else 0

    @property
    def weights(self) -> Floats:
        """Weight of each row: those of a text have 1 together."""
        return np.asarray(1.0 / np.bincount(self.owners)[self.owners])

    def pooled(self, logits: Floats, how: str) -> Floats:
        """Return the scores of texts from those of their rows: (rows, K) -> (texts, K)."""
        if len(logits) == self.n_texts:
            return logits
        starts = np.searchsorted(self.owners, np.arange(self.n_texts))
        if how == "max":
            return np.asarray(np.maximum.reduceat(logits, starts, axis=0))
        sums = np.add.reduceat(logits, starts, axis=0)
        return np.asarray(sums / np.bincount(self.owners)[:, None])


def text_rows(tokenizer: Tokenizer, texts: Sequence[str], max_len: int, decision: Decision) -> TextRows:
    """Encode texts; those longer than `max_len` are cut, or fall into windows if the decision has any."""
    if not decision.window:
        cut = encode_texts(tokenizer, texts, max_len)
        return TextRows(cut.ids, np.arange(len(cut.ids)), cut.n_cut)
    window = min(decision.window, max_len)
    whole = encode_texts(tokenizer, texts, WHOLE).ids
    around = template_around(tokenizer)
    frame = (len(around.before), len(around.after))
    ids: list[list[int]] = []
    owners: list[int] = []
    for i, row in enumerate(whole):
        parts = windows(row, window, decision.stride, frame)
        ids += parts
        owners += [i] * len(parts)
    n_long = sum(len(row) > window for row in whole)
    return TextRows(ids, np.array(owners, np.int64), n_long)


def windows(ids: list[int], size: int, stride: int = 0, frame: tuple[int, int] = (0, 0)) -> list[list[int]]:
    """Cut a row into windows of `size` tokens; `frame`: tokens before and after a text that each repeats.

    windows([C, 1, 2, 3, 4, S], 4, 1, frame=(1, 1)) -> [[C, 1, 2, S], [C, 2, 3, S], [C, 3, 4, S]]
    """
    before, after = frame
    room = size - before - after
    if len(ids) <= size or room < 1:
        return [ids[:size]]
    head, body, tail = ids[:before], ids[before : len(ids) - after], ids[len(ids) - after :]
    step = min(stride or max(1, room // 2), room)
    starts = [*range(0, len(body) - room, step), len(body) - room]
    return [[*head, *body[start : start + room], *tail] for start in starts]


@dataclass(frozen=True, slots=True)
class Around:
    """The tokens that a tokenizer's template puts around a text."""

    before: list[int]
    after: list[int]

    @property
    def n_tokens(self) -> int:
        """How many there are."""
        return len(self.before) + len(self.after)

    def put(self, row: list[int], instead: int | None = None) -> list[int]:
        """Return the row with them around it, or with `instead` in the place of each."""
        if instead is None:
            return [*self.before, *row, *self.after]
        return [*([instead] * len(self.before)), *row, *([instead] * len(self.after))]


def template_around(tokenizer: Tokenizer) -> Around:
    """Return what the tokenizer's template puts around a text."""
    bare, framed = tokenizer.encode("a"), tokenizer.encode("a", special=True)
    extra = len(framed) - len(bare)
    n = next((i for i in range(extra + 1) if framed[i : i + len(bare)] == bare), 0)
    return Around(framed[:n], framed[n + len(bare) :])
