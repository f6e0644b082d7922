"""Near-duplicates among texts: MinHash signatures find candidates, true Jaccard similarity decides.

Source: Broder, "On the resemblance and containment of documents", 1997; banding as in Leskovec,
Rajaraman and Ullman, "Mining of Massive Datasets", chapter 3.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from luban.data.settings import DedupSettings
from luban.data.shingles import Hashes, hash_ngrams

BLOCK = 1 << 14  # n-grams hashed at a time, so that they stay in the processor's cache
SMALL_BUCKET = 16  # in a larger one, pairs grow too many: its members meet the first and their neighbours
ESTIMATE_SLACK = 3.5  # standard deviations by which a signature may underrate a pair


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
    """Whether the texts are equal but for letter case and whitespace."""


def near_clusters(texts: Iterable[str], settings: DedupSettings | None = None) -> NearClusters:
    """Find exact and near duplicates, and clusters of similar texts.

    Memory grows with the text: about four bytes a word, or a character where there are no spaces.
    near_clusters(["a b c d", "x y z", "A b  c d"]).duplicate_of -> [None, None, 0]
    """
    settings = settings or DedupSettings()
    first_of: dict[bytes, int] = {}
    equal: list[int] = []  # text → index among the distinct texts
    shingles: list[Hashes] = []
    home: list[int] = []  # distinct text → index of its first copy
    for i, text in enumerate(texts):
        at = first_of.setdefault(_exact_key(text), len(shingles))
        equal.append(at)
        if at == len(shingles):
            home.append(i)
            shingles.append(hash_ngrams(text, settings.word_ngram, settings.char_ngram))
    pairs = similar_pairs(shingles, settings)
    roots = _join([(i, j) for i, j, _ in pairs], len(shingles))
    better = _duplicates(pairs, settings.threshold)
    duplicate_of: list[int | None] = []
    similarity, exact = [], []
    for i, at in enumerate(equal):
        original, jaccard = better.get(at, (at, 1.0))
        copied = home[original] != i
        duplicate_of.append(home[original] if copied else None)
        similarity.append(jaccard if copied else 0.0)
        exact.append(copied and home[at] != i)
    return NearClusters([home[roots[at]] for at in equal], duplicate_of, similarity, exact)


def similar_pairs(shingles: Sequence[Hashes], settings: DedupSettings) -> list[tuple[int, int, float]]:
    """Return the pairs i < j at least `cluster_threshold` similar, with their Jaccard similarity."""
    signatures = minhash(shingles, settings.permutations, settings.seed)
    found = []
    sets: dict[int, Hashes] = {}
    for i, j in _candidates(signatures, settings):
        for k in (i, j):
            if k not in sets:
                sets[k] = np.unique(shingles[k])
        jaccard = _jaccard(sets[i], sets[j])
        if jaccard >= settings.cluster_threshold:
            found.append((i, j, jaccard))
    return found


def minhash(shingles: Sequence[Hashes], permutations: int, seed: int) -> NDArray[np.uint32]:
    """Return the signatures (texts, permutations): the least value of each hash function over a text."""
    random = np.random.default_rng(seed)
    factors = random.integers(1, 1 << 31, permutations, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    masks = random.integers(0, 1 << 32, permutations, dtype=np.uint32)
    signatures = np.full((permutations, len(shingles)), np.iinfo(np.uint32).max, np.uint32)
    for first, last in _blocks(shingles):
        values = np.concatenate(shingles[first:last])
        starts = np.cumsum([0, *map(len, shingles[first : last - 1])])
        for k in range(permutations):
            hashed = (values ^ masks[k]) * factors[k]
            hashed ^= hashed >> np.uint32(15)  # the low bits of a product are weak: bring the high ones down
            hashed *= np.uint32(0x2C1B3C6D)
            signatures[k, first:last] = np.minimum.reduceat(hashed, starts)
    return np.ascontiguousarray(signatures.T)


def _exact_key(text: str) -> bytes:
    same = " ".join(text.casefold().split())
    return hashlib.blake2b(same.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _blocks(shingles: Sequence[Hashes]) -> Iterator[tuple[int, int]]:
    first = size = 0
    for i, one in enumerate(shingles):
        size += len(one)
        if size >= BLOCK:
            yield first, i + 1
            first, size = i + 1, 0
    if first < len(shingles):
        yield first, len(shingles)


def _candidates(signatures: NDArray[np.uint32], settings: DedupSettings) -> list[tuple[int, int]]:
    """Pairs that share a band and whose signatures agree about as much as the threshold asks."""
    n, permutations = signatures.shape
    rows = permutations // settings.bands
    codes = [_bucket_pairs(_band_keys(signatures[:, k : k + rows])) for k in range(0, permutations, rows)]
    pairs = np.unique(np.concatenate(codes)) if codes else np.zeros(0, np.int64)
    left, right = pairs >> 32, pairs & 0xFFFFFFFF
    spread = (
        ESTIMATE_SLACK * (settings.cluster_threshold * (1 - settings.cluster_threshold) / permutations) ** 0.5
    )
    keep = np.zeros(len(pairs), bool)
    for at in range(0, len(pairs), BLOCK):
        part = slice(at, at + BLOCK)
        agree = (signatures[left[part]] == signatures[right[part]]).mean(axis=1)
        keep[part] = agree >= settings.cluster_threshold - spread
    return list(zip(left[keep].tolist(), right[keep].tolist(), strict=True))


def _band_keys(band: NDArray[np.uint32]) -> NDArray[np.uint64]:
    keys = np.zeros(len(band), np.uint64)
    for column in band.T:
        keys = (keys ^ column) * np.uint64(0x9E3779B97F4A7C15)
        keys ^= keys >> np.uint64(29)
    return keys


def _bucket_pairs(keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Pairs of equal keys, as i << 32 | j with i < j."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    edges = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1], True])
    found = []
    for start, size in zip(edges[:-1].tolist(), np.diff(edges).tolist(), strict=True):
        if size < 2:
            continue
        members = order[start : start + size]
        if size <= SMALL_BUCKET:
            i, j = np.triu_indices(size, 1)
            found.append(members[i] << 32 | members[j])
        else:
            found += [members[0] << 32 | members[1:], members[:-1] << 32 | members[1:]]
    return np.concatenate(found) if found else np.zeros(0, np.int64)


def _jaccard(a: Hashes, b: Hashes) -> float:
    both = len(np.intersect1d(a, b, assume_unique=True))
    return both / (len(a) + len(b) - both)


def _join(pairs: Iterable[tuple[int, int]], n: int) -> list[int]:
    """Root of each of n items under the pairs: the least item it is linked to (union-find)."""
    parent = list(range(n))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for i, j in pairs:
        a, b = root(i), root(j)
        parent[max(a, b)] = min(a, b)
    return [root(i) for i in range(n)]


def _duplicates(pairs: Iterable[tuple[int, int, float]], threshold: float) -> dict[int, tuple[int, float]]:
    """Duplicate → (original, similarity). An original is itself kept, so no chain drifts away from it."""
    earlier: dict[int, list[tuple[int, float]]] = {}
    for i, j, jaccard in pairs:
        if jaccard >= threshold:
            earlier.setdefault(j, []).append((i, jaccard))
    found: dict[int, tuple[int, float]] = {}
    for j in sorted(earlier):
        kept = [(i, jaccard) for i, jaccard in earlier[j] if i not in found]
        if kept:
            found[j] = max(kept, key=lambda pair: (pair[1], -pair[0]))
    return found
