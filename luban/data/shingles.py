"""A text as hashed n-grams of words, and of characters where words have no spaces between them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from luban.data.quality.measure import hash_lowered_ngrams

Hashes = NDArray[np.uint32]


def hash_ngrams(text: str, word_ngram: int, char_ngram: int) -> Hashes:
    """Return the hashes of all n-grams of a text in order, repeats included, never none.

    The first token of an n-gram says how long it is; where none fits, the text is one.
    The same text has the same hashes on every machine.
    """
    return hash_lowered_ngrams(text.lower(), word_ngram, char_ngram)
