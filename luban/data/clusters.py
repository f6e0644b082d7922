"""From pairs of similar texts to clusters, and to the text that each duplicate repeats."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Orders = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Pairs of texts with their Jaccard similarity; `left` comes before `right`."""

    left: Orders
    right: Orders
    jaccard: NDArray[np.float64]

    def at_least(self, threshold: float) -> Pairs:
        """Return the pairs that are so similar."""
        keep = self.jaccard >= threshold
        return Pairs(self.left[keep], self.right[keep], self.jaccard[keep])

    def joined(self, other: Pairs) -> Pairs:
        """Return these pairs and those."""
        both = ((getattr(self, name), getattr(other, name)) for name in self.__slots__)
        return Pairs(*map(np.concatenate, both))

    def sorted(self) -> Pairs:
        """Return the pairs in the order of their texts."""
        by = np.lexsort((self.right, self.left))
        return Pairs(self.left[by], self.right[by], self.jaccard[by])


@dataclass(frozen=True, slots=True, eq=False)
class Roots:
    """The first text of each cluster of two or more."""

    members: Orders
    """Texts with links, sorted."""
    roots: Orders
    """For each of them: the least text that links lead to."""

    def of(self, orders: Orders) -> Orders:
        """Return the root of each text; one without links is its own."""
        if not len(self.members):
            return orders.copy()
        at = np.minimum(np.searchsorted(self.members, orders), len(self.members) - 1)
        return np.where(self.members[at] == orders, self.roots[at], orders)


def contains(known: Pairs, left: Orders, right: Orders) -> NDArray[np.bool_]:
    """Whether each of the pairs is among the known ones."""
    if not len(known.left):
        return np.zeros(len(left), bool)
    two = np.dtype([("left", np.int64), ("right", np.int64)])
    packed = []
    for one, other in ((known.left, known.right), (left, right)):
        packed.append(np.empty(len(one), two))
        packed[-1]["left"], packed[-1]["right"] = one, other
    return np.isin(packed[1], packed[0])


def join(left: Orders, right: Orders) -> Roots:
    """Return the connected parts of a graph.

    Every text takes over the least label of its neighbours, labels are followed to their ends, and so on
    until nothing changes (Shiloach and Vishkin, "An O(log n) parallel connectivity algorithm", 1982).
    """
    members, flat = np.unique(np.concatenate([left, right]), return_inverse=True)
    a, b = flat[: len(left)], flat[len(left) :]
    label = np.arange(len(members))
    while True:
        least = np.minimum(label[a], label[b])
        new = label.copy()
        for end in (a, b):
            np.minimum.at(new, label[end], least)
        while not np.array_equal(new, new[new]):
            new = new[new]
        if np.array_equal(new, label):
            return Roots(members, members[label])
        label = new


def duplicates(pairs: Pairs) -> dict[int, tuple[int, float]]:
    """Duplicate → (original, similarity). An original is itself kept, so no chain drifts away from it."""
    found: dict[int, tuple[int, float]] = {}
    by = np.lexsort((pairs.left, -pairs.jaccard, pairs.right))
    # Of the originals that are kept, the most similar one, or the first of those.
    left, right, jaccard = (a[by].tolist() for a in (pairs.left, pairs.right, pairs.jaccard))
    for i, j, similarity in zip(left, right, jaccard, strict=True):
        if j not in found and i not in found:
            found[j] = (i, similarity)
    return found
