"""MinHash signatures, n-gram sets and line hashes of many texts a call, in native code or else in numpy."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from luban.native import minhash_twin as twin
from luban.native.build import is_available, library

Hashes = NDArray[np.uint32]
Places = NDArray[np.int64]

TOGETHER = 32  # permutations that the kernel works on at once


@dataclass(frozen=True, slots=True, eq=False)
class Texts:
    """UTF-8 texts one after the other, as Arrow holds them, and how they are cut into n-grams."""

    data: NDArray[np.uint8]
    offsets: Places
    """Where each begins, and the last ends (n + 1)."""
    table: NDArray[np.uint32]
    """What each code point is, as `minhash.cpp` wants it."""
    word_ngram: int = 1
    char_ngram: int = 1

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def raw(self, i: int) -> bytes:
        """Return the bytes of one text."""
        return self.data[self.offsets[i] : self.offsets[i + 1]].tobytes()

    def characters(self, raw: bytes) -> twin.Characters:
        """Return the table's entry for each character of some bytes."""
        text = raw.decode("utf-8", "surrogatepass")
        points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
        inside = np.minimum(points, len(self.table) - 1)
        return np.where(points < len(self.table), self.table[inside], points)


@dataclass(frozen=True, slots=True, eq=False)
class Units:
    """The lines or paragraphs of texts that are not blank."""

    hashes: NDArray[np.uint64]
    """Equal for lines that are equal but for case and spaces."""
    places: Places
    """(n, 3): the text it is in, where it begins and ends, in bytes of `Texts.data`."""
    lengths: NDArray[np.int32]
    """In characters; one of a script without spaces counts as three."""


class _Texts(ctypes.Structure):
    _fields_ = (
        ("bytes", ctypes.c_void_p),
        ("offsets", ctypes.c_void_p),
        ("n", ctypes.c_int64),
        ("table", ctypes.c_void_p),
        ("table_size", ctypes.c_int64),
        ("word_ngram", ctypes.c_int32),
        ("char_ngram", ctypes.c_int32),
    )


def sign(texts: Texts, masks: Hashes, factors: Hashes) -> tuple[NDArray[np.uint8], Hashes]:
    """Return the exact keys (texts, 16) and the signatures (texts, permutations)."""
    keys = np.empty((len(texts), 16), np.uint8)
    if not is_available():
        signatures = np.empty((len(texts), len(masks)), np.uint32)
        for i in range(len(texts)):
            characters = texts.characters(texts.raw(i))
            keys[i] = np.frombuffer(twin.exact_key(characters), np.uint8)
            ngrams = twin.hash_ngrams(characters, texts.word_ngram, texts.char_ngram)
            signatures[i] = twin.sign(ngrams, masks, factors)
        return keys, signatures
    width = -(-len(masks) // TOGETHER) * TOGETHER
    padded = [np.resize(np.ascontiguousarray(values), width) for values in (masks, factors)]
    signatures = np.empty((len(texts), width), np.uint32)
    library().luban_sign(_struct(texts), *(_at(a) for a in padded), width, _at(keys), _at(signatures))
    return keys, signatures[:, : len(masks)]


def ngram_sets(texts: Texts) -> tuple[Hashes, Places]:
    """Return each text's n-grams, sorted and each once, one after the other, and their ends (n + 1)."""
    ends = np.zeros(len(texts) + 1, np.int64)
    if not is_available():
        sets = []
        for i in range(len(texts)):
            characters = texts.characters(texts.raw(i))
            sets.append(np.unique(twin.hash_ngrams(characters, texts.word_ngram, texts.char_ngram)))
        ends[1:] = np.cumsum([len(one) for one in sets])
        return np.concatenate([np.zeros(0, np.uint32), *sets]), ends
    room = np.empty(int(texts.offsets[-1] - texts.offsets[0]) + len(texts), np.uint32)
    library().luban_ngram_sets(_struct(texts), _at(room), _at(ends))
    return room[: ends[-1]], ends


def jaccard(sets: Hashes, bounds: Places, pairs: Places) -> NDArray[np.float64]:
    """Return the similarity of pairs (n, 2) of sorted sets; `bounds` (sets, 2) says where each lies."""
    found = np.empty(len(pairs), np.float64)
    if not is_available():
        for k, (i, j) in enumerate(pairs.tolist()):
            left, right = (np.asarray(sets[slice(*bounds[at])]) for at in (i, j))
            found[k] = twin.jaccard(left, right)
        return found
    bounds, pairs = np.ascontiguousarray(bounds), np.ascontiguousarray(pairs)
    library().luban_jaccard(sets.ctypes.data, _at(bounds), _at(pairs), len(pairs), _at(found))
    return found


def find_units(texts: Texts, *, paragraphs: bool) -> Units:
    """Return the lines of texts, or their paragraphs: what stands between empty lines."""
    if not is_available():
        return _units(texts, paragraphs=paragraphs)
    inside = texts.data[texts.offsets[0] : texts.offsets[-1]]
    room = int(np.count_nonzero(inside == ord("\n"))) + len(texts)
    hashes, places = np.empty(room, np.uint64), np.empty((room, 3), np.int64)
    lengths = np.empty(room, np.int32)
    n = library().luban_lines(_struct(texts), int(paragraphs), _at(hashes), _at(places), _at(lengths))
    return Units(hashes[:n], places[:n], lengths[:n])


def _units(texts: Texts, *, paragraphs: bool) -> Units:
    hashes, places, lengths = [], [], []
    for i in range(len(texts)):
        raw, start = texts.raw(i), int(texts.offsets[i])
        for begin, end in twin.units(raw, paragraphs=paragraphs):
            characters = texts.characters(raw[begin:end])
            if (characters & twin.IS_SPACE).all():
                continue
            hashes.append(int.from_bytes(twin.exact_key(characters, 8), "little"))
            places.append((i, start + begin, start + end))
            lengths.append(len(characters) + 2 * int(np.count_nonzero(characters & twin.IS_UNSPACED)))
    return Units(
        np.array(hashes, np.uint64), np.array(places, np.int64).reshape(-1, 3), np.array(lengths, np.int32)
    )


def _struct(texts: Texts) -> object:
    for array in (texts.data, texts.offsets, texts.table):
        assert array.flags.c_contiguous
    size = len(texts.table)
    grams = texts.word_ngram, texts.char_ngram
    return ctypes.byref(
        _Texts(_at(texts.data), _at(texts.offsets), len(texts), _at(texts.table), size, *grams)
    )


def _at(array: NDArray[np.generic]) -> int:
    return array.ctypes.data
