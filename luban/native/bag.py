"""Logits of a bag of n-grams in native code: what scikit-learn's vectoriser and a product give."""

from __future__ import annotations

import ctypes
import re
import threading
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luban.native.build import library

Floats = NDArray[np.float64]
MAX_NGRAMS = 8
"""Longest n-grams that the kernel counts."""
_SPACES = re.compile(r"\s\s+")


class _Bag(ctypes.Structure):
    _fields_ = (
        ("keys", ctypes.c_void_p),
        ("places", ctypes.c_void_p),
        ("mask", ctypes.c_int64),
        ("idf", ctypes.c_void_p),
        ("weights", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("labels", ctypes.c_int64),
        ("counts", ctypes.c_void_p),
        ("classes", ctypes.c_char_p),
        ("by_character", ctypes.c_int64),
        ("ngrams", ctypes.c_int64),
    )


class NativeBag:
    """A bag made ready: features by their hashes, weights side by side."""

    def __init__(
        self,
        features: Sequence[str],
        idf: Floats,
        weights: Floats,
        bias: Floats,
        *,
        word: str | None,
        ngrams: int,
    ):
        """Weights (labels, features); `word` is the pattern of a word and of characters that stand alone.

        Without it, n-grams are of characters, and spaces in a row count as one.
        """
        self._by_character, self._lock = word is None, threading.Lock()
        keys, places = _table(features, self._by_character)
        self._arrays: list[NDArray[Any]] = [keys, places]
        self._arrays += [*(np.ascontiguousarray(a, np.float64) for a in (idf, weights.T, bias))]
        self._arrays.append(np.zeros(len(features), np.int32))
        at = [array.ctypes.data for array in self._arrays]
        classes = character_classes(word) if word else b""
        self._n_labels = len(bias)
        self._bag = _Bag(*at[:2], len(keys) - 1, *at[2:5], len(bias), at[5], classes, word is None, ngrams)

    def logits(self, texts: Sequence[str]) -> Floats:
        """Return logits (texts, labels)."""
        out = np.empty((len(texts), self._n_labels), np.float64)
        call, bag = library().luban_bag_logits, ctypes.byref(self._bag)
        for text, row in zip(texts, out, strict=True):
            text = text.lower()
            if self._by_character:
                text = _SPACES.sub(" ", text)
            raw = text.encode("utf-8", "surrogatepass")
            with self._lock:  # the counts are the bag's
                call(bag, raw, len(raw), row.ctypes.data)
        return out


def _table(features: Sequence[str], by_character: bool) -> tuple[NDArray[np.uint64], NDArray[np.int32]]:
    """Return an open-addressed table of keys, at most half full, and the features that they stand for."""
    size = 2 << max(3, len(features).bit_length())
    keys, places = np.zeros(size, np.uint64), np.zeros(size, np.int32)
    call, mask, taken = library().luban_bag_key, size - 1, dict[int, int]()
    for place, feature in enumerate(features):
        raw = feature.encode("utf-8", "surrogatepass")
        key = call(raw, len(raw), by_character)
        at = key & mask
        while at in taken:
            at = (at + 1) & mask
        taken[at] = key
        keys[at], places[at] = key, place
    return keys, places


@cache
def character_classes(word: str) -> bytes:
    """Return for every code point whether it is no part of a word (0), one (1), or stands alone (2).

    A character stands alone if the pattern matches it, and not two of it.
    """
    everything = "".join(map(chr, range(0x110000)))
    classes = bytearray(len(everything))
    for match in re.finditer(word, everything):
        start, end = match.span()
        alone = end - start == 1 and len(re.match(word, match[0] * 2)[0]) == 1  # type: ignore[index]
        classes[start:end] = (b"\2" if alone else b"\1") * (end - start)
    return bytes(classes)
