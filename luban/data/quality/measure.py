"""Counts over a text: by native code where there is a compiler, else in plain Python, with equal results."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from luban.data.quality import plain
from luban.data.quality.characters import character_classes
from luban.native import text as native
from luban.native.build import is_available
from luban.native.text import KeptLines, TextCounts


@lru_cache(maxsize=1)  # several rules ask about one document in turn
def measure(text: str) -> TextCounts:
    """Return the counts of a text's characters, words, lines and paragraphs."""
    return native.count_text(text, character_classes()) if is_available() else plain.count_text(text)


def count_repeats(text: str) -> tuple[int, ...]:
    """Return the characters in the top 2-, 3- and 4-gram of words, and in repeated 5- to 10-grams.

    The top n-gram is the most frequent one, of several the first; its characters are those of all its
    places, 0 if it is in one place. A repeated n-gram was in the text before; behind it the search goes on,
    so that no character counts twice.
    """
    if is_available():
        return native.count_repeats(text, character_classes())
    return plain.count_repeats(text)


def count_repeated_chars(text: str, ngram: int) -> tuple[int, int]:
    """Return how many n-grams of characters there are, spaces aside, and how many stand elsewhere too."""
    if is_available():
        return native.count_repeated_chars(text, character_classes(), ngram)
    return plain.count_repeated_chars(text, ngram)


def keep_lines(text: str, min_words: int, max_word_chars: int, phrases: Sequence[str]) -> KeptLines:
    """Keep lines of enough words, none too long, that end a sentence and hold none of the `phrases`.

    A line ends a sentence with a terminal mark that is no ellipsis. Phrases are in lower case.
    """
    if is_available():
        return native.keep_lines(text, character_classes(), min_words, max_word_chars, "\n".join(phrases))
    return plain.keep_lines(text, min_words, max_word_chars, phrases)


def hash_lowered_ngrams(text: str, word_ngram: int, char_ngram: int) -> NDArray[np.uint32]:
    """Return the hashes of all n-grams of a lower-cased text, of characters where it has no spaces."""
    if is_available():
        return native.hash_ngrams(text, character_classes(), word_ngram, char_ngram)
    return plain.hash_ngrams(text, word_ngram, char_ngram)


def count_distinct(values: NDArray[np.uint32]) -> int:
    """Return how many distinct numbers there are."""
    return native.count_distinct(values) if is_available() else len(np.unique(values))
