"""Counts over a text in one pass of native code; `luban.data.quality` has the same in plain Python."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from luban.native.build import library


@dataclass(frozen=True, slots=True)
class TextCounts:
    """What one pass over a text counts; characters are code points.

    A word is a run without a space, or one character of a script that has none between words. Lines are
    those with something in them, without the spaces around it; paragraphs are lines without an empty one
    between them. Repeated ones are those that were in the text before.
    """

    chars: int
    spaces: int
    letters: int
    symbols: int
    unspaced: int
    cjk: int
    han: int
    top_character: int
    top_count: int
    words: int
    word_chars: int
    alpha_words: int
    longest_word: int
    hashes: int
    ellipses: int
    lines: int
    line_chars: int
    bullet_lines: int
    ellipsis_lines: int
    terminal_lines: int
    repeated_lines: int
    repeated_line_chars: int
    paragraphs: int
    repeated_paragraphs: int
    repeated_paragraph_chars: int


@dataclass(frozen=True, slots=True)
class KeptLines:
    """The lines of a text that keep some rules, and how many lines and sentences there are."""

    text: str
    lines: int
    kept: int
    sentences: int


N_COUNTS = len(TextCounts.__slots__)


class _LineRules(ctypes.Structure):
    _fields_ = (
        ("min_words", ctypes.c_int64),
        ("max_word_chars", ctypes.c_int64),
        ("phrases", ctypes.c_char_p),
        ("n_phrases", ctypes.c_int64),
    )


_Counts = ctypes.c_int64 * N_COUNTS
_Repeats = ctypes.c_int64 * 9
_Two = ctypes.c_int64 * 2
_Three = ctypes.c_int64 * 3


def count_text(text: str, classes: bytes) -> TextCounts:
    """Count a text's characters, words, lines and paragraphs."""
    raw, out = _encoded(text), _Counts()
    library().luban_text_counts(raw, len(raw), classes, len(classes), out)
    return TextCounts(*out)


def count_repeats(text: str, classes: bytes) -> tuple[int, ...]:
    """Return the characters in the top 2-, 3- and 4-gram of words, and in repeated 5- to 10-grams."""
    raw, out = _encoded(text), _Repeats()
    library().luban_text_repeats(raw, len(raw), classes, len(classes), out)
    return tuple(out)


def count_repeated_chars(text: str, classes: bytes, ngram: int) -> tuple[int, int]:
    """Return how many n-grams of characters there are, spaces aside, and how many stand elsewhere too."""
    raw, out = _encoded(text), _Two()
    library().luban_text_repeated_chars(raw, len(raw), classes, len(classes), ngram, out)
    return out[0], out[1]


def hash_ngrams(text: str, classes: bytes, word_ngram: int, char_ngram: int) -> NDArray[np.uint32]:
    """Return the hashes of all n-grams of a lower-cased text; the first token of each says how long it is."""
    raw = _encoded(text)
    out = np.empty(len(raw) + 1, np.uint32)
    n = library().luban_text_ngrams(
        raw, len(raw), classes, len(classes), word_ngram, char_ngram, out.ctypes.data
    )
    return out[:n].copy()


def count_distinct(values: NDArray[np.uint32]) -> int:
    """Return how many distinct numbers there are."""
    values = np.ascontiguousarray(values)
    return library().luban_text_distinct(values.ctypes.data, len(values))


def keep_lines(text: str, classes: bytes, min_words: int, max_word_chars: int, phrases: str) -> KeptLines:
    """Keep lines of enough words, none too long, that end a sentence and hold none of the `phrases`.

    `phrases` has one a line, in lower case.
    """
    raw, counts = _encoded(text), _Three()
    packed = _encoded(phrases)
    rules = _LineRules(min_words, max_word_chars, packed, len(packed))
    out = np.empty(len(raw) + 1, np.uint8)
    n = library().luban_text_keep_lines(
        raw, len(raw), classes, len(classes), ctypes.byref(rules), out.ctypes.data, counts
    )
    kept = text if n == len(raw) else out[:n].tobytes().decode("utf-8", "surrogatepass")
    return KeptLines(kept, *counts)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
