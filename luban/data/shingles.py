"""A text as hashed n-grams of words, or of characters where words have no spaces between them."""

from __future__ import annotations

import re
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from luban.data.language import is_unspaced

Hashes = NDArray[np.uint32]

_WORD = re.compile(r"\w+")
_NOT_WORD = re.compile(r"\W+")


class _TokenHashes(dict[str, int]):
    """Remembers the hash of each token; crc32, as Python's own hash changes from run to run."""

    def __missing__(self, token: str) -> int:
        if len(self) > 500_000:
            self.clear()
        value = self[token] = crc32(token.encode("utf-8", "surrogatepass"))
        return value


_HASHES = _TokenHashes()


def hash_ngrams(text: str, word_ngram: int, char_ngram: int) -> Hashes:
    """Return the hashes of all n-grams of a text in order, repeats included, never none.

    A text of fewer tokens than n is one n-gram.
    """
    unspaced = is_unspaced(text)
    tokens = _characters(text) if unspaced else _word_hashes(text)
    n = min(char_ngram if unspaced else word_ngram, len(tokens))
    size = len(tokens) - n + 1
    mixed = np.zeros(size, np.uint32)
    for i in range(n):
        mixed = mixed * np.uint32(0x9E3779B1) + tokens[i : i + size]
    return _mix(mixed)


def _characters(text: str) -> Hashes:
    """The code points of letters and digits."""
    letters = _NOT_WORD.sub("", text.lower()) or text or " "
    return np.frombuffer(letters.encode("utf-32-le", "surrogatepass"), np.uint32)


def _word_hashes(text: str) -> Hashes:
    words = _WORD.findall(text.lower()) or [text]
    return np.fromiter(map(_HASHES.__getitem__, words), np.uint32, len(words))


def _mix(x: Hashes) -> Hashes:
    """Spread every bit over the word (the end of MurmurHash3, public domain)."""
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return x ^ (x >> np.uint32(16))
