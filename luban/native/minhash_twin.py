"""The arithmetic of minhash.cpp in numpy, bit for bit, for machines without a compiler."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Characters = NDArray[np.uint32]
Hashes = NDArray[np.uint32]

FOLDED = np.uint32((1 << 21) - 1)
IS_WORD, IS_UNSPACED, IS_SPACE = (np.uint32(1 << bit) for bit in (28, 29, 30))
LETTER, TOKEN = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)
_LINE_END, _PARAGRAPH_END = re.compile(b"\n"), re.compile(b"\n(?=\r?\n)")
BLOCK = 1 << 14  # n-grams worked on at a time, so that they stay in the processor's cache


def hash_ngrams(characters: Characters, word_ngram: int, char_ngram: int) -> Hashes:
    """Return the hashes of all n-grams in order, repeats included, never none.

    An n-gram's first token says how long it is. Where none fits, all tokens are one.
    """
    tokens, unspaced = _tokens(characters)
    size = len(tokens)
    lengths = np.where(unspaced, char_ngram, word_ngram)
    fits = np.arange(size) + lengths <= size
    if not fits.any():
        lengths[0], fits[0] = size, True
    mixed = np.zeros(size, np.uint64)
    for n in np.unique(lengths[fits]).tolist():
        first = np.flatnonzero(fits & (lengths == n))
        for i in range(n):
            mixed[first] = mixed[first] * TOKEN + tokens[first + i]
    return (_mix(mixed[fits]) >> np.uint64(32)).astype(np.uint32)


def sign(ngrams: Hashes, masks: Hashes, factors: Hashes) -> Hashes:
    """Return the least value of each hash function over the n-grams of one text."""
    least = np.full(len(masks), np.iinfo(np.uint32).max, np.uint32)
    for start in range(0, len(ngrams), BLOCK):
        values = ngrams[start : start + BLOCK]
        for k in range(len(masks)):
            hashed = (values ^ masks[k]) * factors[k]
            hashed ^= hashed >> np.uint32(15)  # the low bits of a product are weak: bring the high ones down
            hashed *= np.uint32(0x2C1B3C6D)
            least[k] = min(least[k], hashed.min())
    return least


def exact_key(characters: Characters, size: int = 16) -> bytes:
    """Return a hash of a text but for its case and the kind and number of its spaces."""
    points = np.where(characters & IS_SPACE, np.uint32(ord(" ")), characters & FOLDED)
    text = points.tobytes().decode("utf-32-le", "surrogatepass")
    same = " ".join(text.split())
    return hashlib.blake2b(same.encode("utf-8", "surrogatepass"), digest_size=size).digest()


def jaccard(a: Hashes, b: Hashes) -> float:
    """Return the similarity of two sorted sets."""
    both = len(np.intersect1d(a, b, assume_unique=True))
    total = len(a) + len(b) - both
    return both / total if total else 1.0


def units(text: bytes, *, paragraphs: bool) -> Iterator[tuple[int, int]]:
    """Yield where the lines of a text, or its paragraphs, begin and end in bytes."""
    begin = 0
    for stop in _PARAGRAPH_END.finditer(text) if paragraphs else _LINE_END.finditer(text):
        yield begin, stop.start()
        begin = stop.end()
    if begin < len(text):
        yield begin, len(text)


def _tokens(characters: Characters) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Return the words and each character of a script without spaces, and which of them are the latter."""
    letters = (characters & FOLDED).astype(np.uint64)
    inside = (characters & IS_WORD) != 0
    if not inside.any():
        return _mix(_polynomials(letters, np.zeros(1, np.int64), np.array([len(letters)]))), np.zeros(1, bool)
    alone = inside & ((characters & IS_UNSPACED) != 0)
    begins = inside & (alone | ~_shifted(inside & ~alone, 1))
    ends = inside & (alone | ~_shifted(inside & ~alone, -1))
    first = np.flatnonzero(begins)
    return _mix(_polynomials(letters, first, np.flatnonzero(ends) + 1)), alone[first]


def _shifted(flags: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    """Return the flags of the characters before (1) or after (-1) each."""
    moved = np.roll(flags, by)
    moved[0 if by > 0 else -1] = False
    return moved


def _polynomials(
    letters: NDArray[np.uint64], begins: NDArray[np.int64], ends: NDArray[np.int64]
) -> NDArray[np.uint64]:
    """Return the sum of letter x LETTER^(letters that follow) over each span, modulo 2^64."""
    lengths = ends - begins
    if not lengths.any():
        return np.zeros(len(begins), np.uint64)
    powers = np.concatenate([np.ones(1, np.uint64), np.full(int(lengths.max()) - 1, LETTER)]).cumprod(
        dtype=np.uint64
    )
    within = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    values = letters[np.repeat(begins, lengths) + within] * powers[np.repeat(lengths, lengths) - 1 - within]
    return np.add.reduceat(values, np.cumsum(lengths) - lengths)


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread every bit over the word (the end of MurmurHash3, public domain)."""
    x = (x ^ (x >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    x = (x ^ (x >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return x ^ (x >> np.uint64(33))
