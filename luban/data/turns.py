"""Whose turn it is: which part of the data gives each window of a run, found from its number alone.

A stretch of windows gives each part a whole number of turns, its share to within one, and spreads them
evenly: the k-th turn of a part stands where the part's share, added up so far, passes k + 1/2. So any
piece of a stretch holds nearly the shares too, and nothing before it needs to be known.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
GRID = 512
"""Pieces into which a stretch is cut while shares move from one set to another."""


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """Windows start..start + length - 1, and how many turns of each part are in them."""

    start: int
    times: Array
    """(G,) places from 0 to its length."""
    reached: Array
    """(parts, G) turns of each part up to these places, before rounding; the last are whole numbers."""
    before: Array
    """(parts,) turns that came before it."""

    @property
    def length(self) -> int:
        """Windows in it."""
        return int(self.times[-1])

    @property
    def quotas(self) -> Array:
        """(parts,) turns of each part in it."""
        return self.reached[:, -1].astype(np.int64)

    def take(self, start: int, stop: int) -> tuple[Array, Array]:
        """Return the part of each of its windows start..stop-1, and which turn of the part it is."""
        low, parts, turns = self._near(start, stop)
        here = slice(start - int(low.sum()), stop - int(low.sum()))
        return parts[here], turns[here] + self.before[parts[here]]

    def counts(self, stop: int) -> Array:
        """Return how many turns each part has had before its window `stop`, those before it included."""
        low, parts, _ = self._near(stop, stop)
        return self.before + low + np.bincount(parts[: stop - int(low.sum())], minlength=len(low))

    def _near(self, start: int, stop: int) -> tuple[Array, Array, Array]:
        """Return turns that surely come before `start`, and part and turn of all from there past `stop`."""
        margin = 2 * len(self.reached) + 2  # so far may rounding carry a turn
        low, high = self._turns(start - margin), self._turns(stop + margin)
        spans = [np.arange(a, b) for a, b in zip(low, high, strict=True)]
        places = [
            np.interp(span + 0.5, row, self.times) for span, row in zip(spans, self.reached, strict=True)
        ]
        parts = np.repeat(np.arange(len(low)), high - low)
        order = np.lexsort((parts, np.concatenate(places)))
        return low, parts[order], np.concatenate(spans)[order]

    def _turns(self, place: int) -> Array:
        """Return how many turns of each part come before a place, give or take one."""
        if place <= 0:
            return np.zeros(len(self.reached), np.int64)
        if place >= self.length:
            return self.quotas
        reached = np.array([np.interp(place, self.times, row) for row in self.reached])
        return np.clip(np.ceil(reached - 0.5), 0, self.quotas).astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Turns:
    """Stretches one after the other; the last comes again and again, an epoch each time."""

    stretches: tuple[Stretch, ...]

    def take(self, start: int, stop: int) -> tuple[Array, Array]:
        """Return the part of each window start..stop-1 of a run, and which turn of the part it is."""
        found = []
        while start < stop:
            stretch = self._stretch(start)
            end = min(stop, stretch.start + stretch.length)
            found.append(stretch.take(start - stretch.start, end - stretch.start))
            start = end
        parts, turns = zip(*found, strict=True)
        return np.concatenate(parts), np.concatenate(turns)

    def counts(self, stop: int) -> Array:
        """Return how many turns each part has among the first `stop` windows of a run."""
        stretch = self._stretch(stop)
        return stretch.counts(stop - stretch.start)

    def _stretch(self, window: int) -> Stretch:
        last = self.stretches[-1]
        if window < last.start:
            return next(s for s in reversed(self.stretches) if s.start <= window)
        epoch = (window - last.start) // last.length
        before = last.before + epoch * last.quotas
        return replace(last, start=last.start + epoch * last.length, before=before)


def plan_turns(shares: list[Array], ends: list[int], *, epoch: int, blend: bool = False) -> Turns:
    """Plan phases with their shares: all but the last end before the windows `ends`; it has epochs.

    plan_turns([np.array([0.9, 0.1])], [], epoch=1000)
    """
    stretches: list[Stretch] = []
    start, before = 0, np.zeros(len(shares[0]), np.int64)
    for i, end in enumerate([*ends, None]):
        length = epoch if end is None else end - start
        after = shares[i + 1] if blend and end is not None else shares[i]
        stretches.append(_stretch(start, length, shares[i], after, before))
        start, before = start + length, before + stretches[-1].quotas
    return Turns(tuple(stretches))


def _stretch(start: int, length: int, first: Array, last: Array, before: Array) -> Stretch:
    first, last = first / first.sum(), last / last.sum()
    grid = np.linspace(0, 1, 2 if np.array_equal(first, last) else GRID + 1)
    # Shares that move evenly add up to a parabola.
    reached = length * (first[:, None] * grid + (last - first)[:, None] * grid**2 / 2)
    quotas = apportion(reached[:, -1], length)
    scale = np.divide(quotas, reached[:, -1], out=np.zeros(len(quotas)), where=reached[:, -1] > 0)
    reached = reached * scale[:, None]
    reached[:, -1] = quotas
    return Stretch(start, length * grid, reached, before)


def apportion(amounts: Array, total: int) -> Array:
    """Round amounts, which add up to `total`, to whole numbers that do: largest remainders go up."""
    whole = np.floor(amounts + 1e-9).astype(np.int64)
    order = np.argsort(-(amounts - whole), kind="stable")
    order = order[amounts[order] > 0]
    whole[order[: total - int(whole.sum())]] += 1
    return whole
