"""Documents of a shard as one stream of tokens, whichever of them belong to it, and windows cut from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from luban.data.shards import Shard
from luban.records import IGNORE

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """Some documents of a shard, or all, end to end; tokens stay where they are on the disk."""

    shard: Shard
    offsets: Array
    """Where each document begins in the stream; the last entry is where the last one ends."""
    documents: Array | None
    """The number of each document in the shard; None: all, in order."""
    runs: Array
    """Where each unbroken stretch of the shard begins in the stream; the last entry ends the stream."""
    places: Array
    """Where it begins in the shard."""

    @property
    def n_tokens(self) -> int:
        """Tokens of all its documents."""
        return int(self.runs[-1])

    def document(self, nth: int) -> int:
        """Return the number in the shard of the stream's nth document."""
        return nth if self.documents is None else int(self.documents[nth])

    def fill(self, starts: Array, into: tuple[Array, Array, Array], rows: Array | None = None) -> None:
        """Write windows that begin at `starts` into tokens, documents and targets, each (B, context).

        A place's target is the token after it, if that is of the same document. Documents are numbered
        from 1 in each row. Past the end of the stream: token 0, document 0, no target. `rows` says which
        rows of the arrays are filled, if not all.
        """
        tokens, documents, targets = into
        context = tokens.shape[1]
        where = np.arange(len(starts)) if rows is None else rows
        ends = np.minimum(starts + context + 1, self.n_tokens)
        runs = np.searchsorted(self.runs, starts, "right") - 1
        for row, start, end, run in zip(
            where.tolist(), starts.tolist(), ends.tolist(), runs.tolist(), strict=True
        ):
            inside = min(end, start + context)
            self._copy(start, tokens[row, : inside - start], run)
            self._copy(start + 1, targets[row, : end - start - 1], run)
        nth, cuts, numbers, widths = self._documents(starts, ends, context)
        documents[slice(None) if rows is None else rows] = np.repeat(numbers, widths).reshape(-1, context)
        targets[where[nth], cuts - 1] = IGNORE
        for short in np.flatnonzero(ends < starts + context + 1).tolist():
            row, n = int(where[short]), int(ends[short] - starts[short])
            tokens[row, n:], documents[row, n:], targets[row, n - 1 :] = 0, 0, IGNORE

    def _copy(self, start: int, into: Array, run: int) -> None:
        """Copy tokens of the stream from `start`, from every stretch that they lie in; `run` or a later."""
        done, n = 0, len(into)
        while done < n:
            size = min(n - done, int(self.runs[run + 1]) - start - done)
            if size > 0:
                begin = start + done - int(self.runs[run]) + int(self.places[run])
                into[done : done + size] = self.shard.tokens[begin : begin + size]
                done += size
            run += 1

    def _documents(self, starts: Array, ends: Array, context: int) -> tuple[Array, Array, Array, Array]:
        """Return row and column of each document that begins inside a row, and number and width of all."""
        first = np.searchsorted(self.offsets, starts, "right")
        n_begin = np.searchsorted(self.offsets, ends - 1, "right") - first
        rows = np.repeat(np.arange(len(starts)), n_begin)
        before = n_begin.cumsum() - n_begin
        nth = np.arange(len(rows)) - before[rows]
        cuts = self.offsets[first[rows] + nth] - starts[rows]
        edges = np.empty(len(starts) + len(rows) + 1, np.int64)
        numbers = np.ones(len(edges) - 1, np.int64)
        of_rows, of_cuts = np.arange(len(starts)) + before, np.arange(len(rows)) + rows + 1
        edges[of_rows], edges[of_cuts] = np.arange(len(starts)) * context, rows * context + cuts
        edges[-1], numbers[of_cuts] = len(starts) * context, nth + 2
        return rows, cuts, numbers, np.diff(edges)


def whole(shard: Shard) -> Stream:
    """Return the stream of all documents."""
    bounds = np.array([0, len(shard.tokens)], np.int64)
    return Stream(shard, shard.offsets, None, bounds, bounds[:1])


def chosen(shard: Shard, documents: Array) -> Stream:
    """Return the stream of the documents with these numbers, which must grow."""
    begins, ends = shard.offsets[documents].astype(np.int64), shard.offsets[documents + 1]
    offsets = np.concatenate([[0], (ends - begins).cumsum()]).astype(np.int64)
    is_new = np.ones(len(documents), bool)
    is_new[1:] = begins[1:] != ends[:-1]
    runs = np.append(offsets[:-1][is_new], offsets[-1])
    return Stream(shard, offsets, documents, runs, begins[is_new])
