"""Orders without a list: a permutation computed from (seed, epoch) by a Feistel network.

Place i of the order is found in constant time from i alone, so a run resumes anywhere, and any number
of processes agree, with a single integer as state. Source: Black and Rogaway, "Ciphers with arbitrary
finite domains", CT-RSA 2002 (cycle walking).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

N_ROUNDS = 6
BLOCK = 1024  # places computed at once: numpy is slow on a few, and a resumed run waits for one block
_MASK = (1 << 64) - 1
Array = np.ndarray[Any, Any]


def endless(start: int, stop: int, n: int, seed: int) -> Array:
    """Return places start..stop-1 of an endless order: every epoch a new permutation of 0..n-1."""
    parts = []
    while start < stop:
        epoch, place = divmod(start, n)
        block, inside = divmod(place, BLOCK)
        parts.append(_block(block, n, seed, epoch)[inside : inside + stop - start])
        start += len(parts[-1])
    return np.concatenate(parts)


@lru_cache(maxsize=16)
def _block(block: int, n: int, seed: int, epoch: int) -> Array:
    return permute(np.arange(block * BLOCK, min((block + 1) * BLOCK, n)), n, seed, epoch)


def permute(places: Array, n: int, seed: int, epoch: int) -> Array:
    """Return what stands at each of `places` in the order of 0..n-1 that (seed, epoch) decides."""
    half = max(1, (max(n - 1, 1).bit_length() + 1) // 2)
    keys = _keys(seed, epoch)
    found = _encipher(np.asarray(places, np.uint64), half, keys)
    while (outside := np.flatnonzero(found >= n)).size:  # walk the cycle until back inside 0..n-1
        found[outside] = _encipher(found[outside], half, keys)
    return found.astype(np.int64)


def _encipher(x: Array, half: int, keys: Array) -> Array:
    bits, mask = np.uint64(half), np.uint64((1 << half) - 1)
    left, right = x >> bits, x & mask
    for key in keys:
        left, right = right, left ^ (_mix(right ^ key) & mask)
    return (left << bits) | right


def _mix(x: Array) -> Array:
    """Scatter 64 bits (splitmix64's finaliser, Steele and others, OOPSLA 2014)."""
    x = (x ^ (x >> _S30)) * _M1
    x = (x ^ (x >> _S27)) * _M2
    return x ^ (x >> _S31)


_S30, _S27, _S31 = (np.uint64(n) for n in (30, 27, 31))
_M1, _M2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


@lru_cache(maxsize=64)
def _keys(seed: int, epoch: int) -> Array:
    state = np.array([seed & _MASK], np.uint64)
    keys = []
    for salt in (epoch & _MASK, *range(1, N_ROUNDS + 1)):
        state = _mix((state ^ np.uint64(salt)) + np.uint64(0x9E3779B97F4A7C15))
        keys.append(state)
    return np.concatenate(keys[1:])
