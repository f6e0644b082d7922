"""Near-duplicates among texts in memory: signatures find candidates, true Jaccard similarity decides.

`luban.data.dedup` does the same to folders of any size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from luban.data.bands import Candidates, bucket_pairs, may_reach
from luban.data.clusters import Orders, Pairs, contains, duplicates, join
from luban.data.settings import DedupSettings
from luban.data.signatures import Signatures, pack_texts, sign
from luban.native import minhash

NO_TEXTS = np.zeros(0, np.int64)
ROUNDS = 6


@dataclass(frozen=True, slots=True)
class NearClusters:
    """For each text: its cluster, and the earlier text that it duplicates."""

    cluster: list[int]
    """Index of the cluster's first text; texts of a cluster are linked by similar pairs."""
    duplicate_of: list[int | None]
    """Index of an earlier text, itself no duplicate, at least `threshold` similar to this one."""
    similarity: list[float]
    """Jaccard similarity to that text, 1.0 for exact copies; 0.0 for texts that are no duplicates."""
    exact: list[bool]
    """Whether an earlier text is equal but for letter case and white space."""


def near_clusters(texts: Iterable[str], settings: DedupSettings | None = None) -> NearClusters:
    """Find exact and near duplicates, and clusters of similar texts.

    near_clusters(["a b c d", "x y z", "A b  c d"]).duplicate_of -> [None, None, 0]
    """
    settings = settings or DedupSettings()
    texts = list(texts)
    if not texts:
        return NearClusters([], [], [], [])
    signatures = sign(pack_texts(texts, settings), settings)
    _, first, equal = np.unique(signatures.keys, axis=0, return_index=True, return_inverse=True)
    home = first[equal.reshape(-1)]
    own = np.flatnonzero(home == np.arange(len(texts)))
    pairs = similar_pairs(texts, signatures, own, settings)
    roots = join(pairs.left, pairs.right).of(home).tolist()
    better = duplicates(pairs.at_least(settings.threshold))
    duplicate_of: list[int | None] = []
    similarity, exact = [], []
    for i, at in enumerate(home.tolist()):
        original, jaccard = better.get(at, (at, 1.0))
        duplicate_of.append(original if original != i else None)
        similarity.append(jaccard if original != i else 0.0)
        exact.append(at != i)
    return NearClusters(roots, duplicate_of, similarity, exact)


def similar_pairs(texts: list[str], signatures: Signatures, own: Orders, settings: DedupSettings) -> Pairs:
    """Return the pairs of the texts `own` that are at least `cluster_threshold` similar."""

    def candidates(among: Orders) -> Candidates:
        buckets = signatures.buckets[among].ravel()
        orders = np.repeat(among, signatures.buckets.shape[1])
        by = np.lexsort((orders, buckets))
        buckets, orders = buckets[by], orders[by]
        begins = np.flatnonzero(np.r_[True, buckets[1:] != buckets[:-1]][: len(buckets)])
        found = bucket_pairs(orders, begins)
        return found.where(may_reach(signatures.sketches, found, settings.cluster_threshold))

    def verify(left: Orders, right: Orders) -> NDArray[np.float64]:
        needed, flat = np.unique(np.concatenate([left, right]), return_inverse=True)
        sets, ends = minhash.ngram_sets(pack_texts([texts[i] for i in needed], settings))
        bounds = np.stack([ends[:-1], ends[1:]], axis=1)
        return minhash.jaccard(sets, bounds, flat.reshape(2, -1).T)

    return find_pairs(own, candidates, verify, settings)


def find_pairs(
    own: Orders,
    candidates: Callable[[Orders], Candidates],
    verify: Callable[[Orders, Orders], NDArray[np.float64]],
    settings: DedupSettings,
) -> Pairs:
    """Return the similar pairs among texts, given how to find candidates among some and how to compare.

    In a bucket of many texts only some pairs are compared. Those of its texts that are no duplicates are
    looked at again without the duplicates, until the buckets are small or nothing more is found.
    """
    pairs = Pairs(NO_TEXTS, NO_TEXTS, np.zeros(0))
    n_duplicates = 0
    for _ in range(ROUNDS):
        found = candidates(own).unique()
        new = found.where(~contains(pairs, found.left, found.right))
        similar = Pairs(new.left, new.right, verify(new.left, new.right))
        pairs = pairs.joined(similar.at_least(settings.cluster_threshold))
        crowded = np.unique(np.concatenate([found.left[found.large], found.right[found.large]]))
        dropped = np.array(sorted(duplicates(pairs.at_least(settings.threshold))), np.int64)
        own = np.setdiff1d(crowded, dropped, assume_unique=True)
        if len(own) < 2 or len(dropped) == n_duplicates:
            break
        n_duplicates = len(dropped)
    return pairs.sorted()
