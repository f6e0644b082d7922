"""Counts of a stream that take the same memory however long it is: of values, of numbers, and samples."""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from luban.data.funnel import OTHERS

EXACT_BITS = 7
"""Of a number so many leading bits are kept: those below 128 are exact, others to within 1 in 64."""
QUANTILES = {"tenth": 0.1, "quarter": 0.25, "median": 0.5, "three quarters": 0.75, "nine tenths": 0.9}


def log_edges(top: int) -> list[int]:
    """Return where bars begin on a logarithmic axis, up to beyond `top`: preferred numbers (ISO 3, R5).

    log_edges(10) -> [0, 1, 2, 3, 4, 6, 10, 16]
    """
    edges, power = [0, 1, 2, 3, 4, 6], 10
    while True:
        for step in (10, 16, 25, 40, 63):
            edges.append(step * power // 10)
            if edges[-1] > top:
                return edges
        power *= 10


@dataclass(slots=True)
class Spread:
    """How whole numbers from 0 are spread: exact count, sum, least and most; others to within 1 in 64."""

    buckets: Counter[int] = field(default_factory=Counter)
    n: int = 0
    total: int = 0
    least: int = 0
    most: int = 0

    def add(self, value: int, times: int = 1) -> None:
        """Count a number."""
        self.least = min(self.least, value) if self.n else value
        self.most = max(self.most, value)
        self.n += times
        self.total += value * times
        self.buckets[_bucket(value)] += times

    def merge(self, other: Spread) -> None:
        """Count what another has counted."""
        if not other.n:
            return
        self.least = min(self.least, other.least) if self.n else other.least
        self.most = max(self.most, other.most)
        self.n += other.n
        self.total += other.total
        self.buckets.update(other.buckets)

    def quantile(self, share: float) -> int:
        """Return the number below or at which this share of all is."""
        reached, wanted = 0, share * self.n
        for value in sorted(self.buckets):
            reached += self.buckets[value]
            if reached >= wanted:
                return min(max(value, self.least), self.most)
        return self.most

    def bars(self, edges: Sequence[int]) -> list[list[int]]:
        """Return [from, to, how many] for bars that begin at `edges`, without empty ones at both ends."""
        counts = [0] * (len(edges) - 1)
        for value, n in self.buckets.items():
            counts[min(bisect_right(edges, value) - 1, len(counts) - 1)] += n
        full = [i for i, n in enumerate(counts) if n]
        if not full:
            return []
        return [[edges[i], edges[i + 1], counts[i]] for i in range(full[0], full[-1] + 1)]

    def facts(self, scale: int = 1, edges: Sequence[int] | None = None) -> dict[str, Any]:
        """Return number, mean, quantiles and bars, each divided by `scale`; logarithmic bars by default."""
        if not self.n:
            return {"n": 0}
        marks = {
            "least": self.least,
            **{k: self.quantile(q) for k, q in QUANTILES.items()},
            "most": self.most,
        }
        bars = self.bars(edges or log_edges(self.most))
        return {
            "n": self.n,
            "mean": round(self.total / self.n / scale, 4),
            **{name: _scaled(value, scale) for name, value in marks.items()},
            "bars": [[_scaled(low, scale), _scaled(high, scale), n] for low, high, n in bars],
        }


def _bucket(value: int) -> int:
    shift = max(value.bit_length() - EXACT_BITS, 0)
    return value >> shift << shift


def _scaled(value: int, scale: int) -> float:
    return value if scale == 1 else round(value / scale, 4)


@dataclass(slots=True)
class Values:
    """Documents and bytes of each value of a column; of very many the largest are named, the rest is one."""

    cap: int
    counts: dict[str, list[int]] = field(default_factory=dict)

    def add(self, value: str, documents: int, size_bytes: int) -> None:
        """Count documents of a value."""
        one = self.counts.setdefault(value, [0, 0])
        one[0] += documents
        one[1] += size_bytes
        if len(self.counts) > 2 * self.cap:
            self._prune(self.cap)

    def merge(self, other: Values) -> None:
        """Count what another has counted."""
        for value, (documents, size_bytes) in other.counts.items():
            self.add(value, documents, size_bytes)

    def facts(self) -> dict[str, dict[str, int]]:
        """Return what was counted, the largest first and the rest at the end."""
        self._prune(self.cap)
        order = sorted(self.counts.items(), key=lambda item: (item[0] == OTHERS, -item[1][1], item[0]))
        return {value: {"documents": n, "bytes": size} for value, (n, size) in order}

    def _prune(self, cap: int) -> None:
        if len(self.counts) <= cap + 1:
            return
        rest = self.counts.pop(OTHERS, [0, 0])
        ranked = sorted(self.counts.items(), key=lambda item: (-item[1][1], item[0]))
        for _, (documents, size_bytes) in ranked[cap:]:
            rest = [rest[0] + documents, rest[1] + size_bytes]
        self.counts = dict(ranked[:cap]) | {OTHERS: rest}


@dataclass(slots=True)
class Top:
    """The most frequent of very many things; what was rare for a while is forgotten, so counts are floors."""

    cap: int
    counts: Counter[str] = field(default_factory=Counter)
    total: int = 0

    def add(self, found: Mapping[str, int]) -> None:
        """Count things."""
        self.counts.update(found)
        self.total += sum(found.values())
        if len(self.counts) > 4 * self.cap:
            self.prune()

    def merge(self, other: Top) -> None:
        """Count what another has counted."""
        self.counts.update(other.counts)
        self.total += other.total
        if len(self.counts) > 4 * self.cap:
            self.prune()

    def prune(self) -> None:
        """Forget all but the most frequent, and of what is as frequent as the last of them everything."""
        if len(self.counts) > self.cap:
            floor = sorted(self.counts.values(), reverse=True)[self.cap]
            self.counts = Counter({thing: n for thing, n in self.counts.items() if n > floor})

    def first(self, n: int) -> list[tuple[str, int]]:
        """Return the most frequent; of equals the first in the alphabet."""
        return heapq.nsmallest(n, self.counts.items(), key=lambda item: (-item[1], item[0]))


@dataclass(slots=True)
class Chosen:
    """A few of each kind, by a hash of their own: the same ones come out in whatever order they came."""

    most: int
    kinds: dict[str, list[tuple[bytes, dict[str, Any]]]] = field(default_factory=dict)

    def add(self, kind: str, key: bytes, sample: dict[str, Any]) -> None:
        """Offer a sample, which is kept if its key is among the smallest of its kind."""
        if self.wants(kind, key):
            self._keep(kind, [(key, sample)])

    def wants(self, kind: str, key: bytes) -> bool:
        """Whether a sample with this key would be kept: making one may take time."""
        have = self.kinds.get(kind, [])
        return bool(self.most) and (len(have) < self.most or key < have[-1][0])

    def merge(self, other: Chosen) -> None:
        """Take the smallest of both."""
        for kind, samples in other.kinds.items():
            self._keep(kind, samples)

    def facts(self) -> dict[str, list[dict[str, Any]]]:
        """Return the samples of each kind."""
        return {kind: [sample for _, sample in samples] for kind, samples in sorted(self.kinds.items())}

    def _keep(self, kind: str, samples: Iterable[tuple[bytes, dict[str, Any]]]) -> None:
        both = [*self.kinds.get(kind, []), *samples]
        self.kinds[kind] = sorted(both, key=lambda one: one[0])[: self.most]
