"""Pairs of texts that are likely to be similar: those that share a bucket, and agree in their sketches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from luban.data.clusters import Orders
from luban.data.engine import ORDER, Table, starts
from luban.data.extras import load_extra

SMALL_BUCKET = 16  # in a larger one, pairs grow too many: its members meet the first and their neighbours
ESTIMATE_SLACK = 3.5  # standard deviations by which a sketch may underrate a pair
PART = 1 << 14


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Pairs of texts that may be similar; `left` comes before `right`."""

    left: Orders
    right: Orders
    large: NDArray[np.bool_]
    """Whether the pair's bucket has further pairs that are not among these."""

    def where(self, keep: NDArray[np.bool_]) -> Candidates:
        """Return some of the pairs."""
        return Candidates(self.left[keep], self.right[keep], self.large[keep])

    def unique(self) -> Candidates:
        """Return each pair once, sorted; large if one of its buckets is."""
        if not len(self.left):
            return self
        by = np.lexsort((~self.large, self.right, self.left))
        left, right = self.left[by], self.right[by]
        new = np.r_[True, (left[1:] != left[:-1]) | (right[1:] != right[:-1])]
        return Candidates(left[new], right[new], self.large[by][new])


@dataclass(frozen=True, slots=True)
class BucketPairs:
    """Maps whole buckets, sorted, to the pairs in them: columns left, right, large."""

    def __call__(self, table: Table) -> Table:
        """Return the pairs, the earlier text first."""
        pa = load_extra("pyarrow")
        orders = table.column(ORDER).to_numpy()
        found = bucket_pairs(orders, starts(table, "band_key")).unique()
        return pa.table({"left": found.left, "right": found.right, "large": found.large})


@dataclass(frozen=True, slots=True)
class Copies:
    """Maps whole groups of equal keys, sorted, to all but the first: columns order, home."""

    def __call__(self, table: Table) -> Table:
        """Return the order of each copy, and of the first text that is equal."""
        pa = load_extra("pyarrow")
        orders = table.column(ORDER).to_numpy()
        begins = starts(table, "key")
        home = np.repeat(orders[begins], np.diff(np.r_[begins, len(orders)]))
        copied = home != orders
        return pa.table({ORDER: orders[copied], "home": home[copied]})


def bucket_pairs(orders: Orders, begins: Orders) -> Candidates:
    """Return the pairs within each bucket; `orders` is sorted in each, `begins` says where they begin."""
    sizes = np.diff(np.r_[begins, len(orders)])
    left, right, large = [], [], []
    for size in range(2, SMALL_BUCKET + 1):
        members = orders[begins[sizes == size][:, None] + np.arange(size)]
        i, j = np.triu_indices(size, 1)
        left.append(members[:, i].ravel())
        right.append(members[:, j].ravel())
        large.append(np.zeros(right[-1].size, bool))
    for begin, size in zip(begins[sizes > SMALL_BUCKET], sizes[sizes > SMALL_BUCKET], strict=True):
        members = orders[begin : begin + size]
        left += [np.full(size - 1, members[0]), members[1:-1]]
        right += [members[1:], members[2:]]
        large.append(np.ones(2 * size - 3, bool))
    return Candidates(np.concatenate(left), np.concatenate(right), np.concatenate(large))


def may_reach(sketches: NDArray[np.uint8], pairs: Candidates, threshold: float) -> NDArray[np.bool_]:
    """Whether the rows of pairs agree in about as much of their sketches as the similarity asks.

    Bytes of different minima agree once in 256 times.
    """
    permutations = sketches.shape[1]
    asked = threshold + (1 - threshold) / 256
    slack = ESTIMATE_SLACK * (asked * (1 - asked) / permutations) ** 0.5
    keep = np.empty(len(pairs.left), bool)
    for at in range(0, len(keep), PART):
        part = slice(at, at + PART)
        agree = np.count_nonzero(sketches[pairs.left[part]] == sketches[pairs.right[part]], axis=1)
        keep[part] = agree >= (asked - slack) * permutations
    return keep
