"""Filters: each takes a document and returns it, or a Drop with the value and the threshold."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from luban.data.language import UNKNOWN, UNSPACED, count_cjk, detect_language
from luban.data.shingles import hash_ngrams
from luban.records import Document, Drop

CJK_WEIGHT = 3
"""A Chinese character says about as much as three Latin letters, and takes as many bytes."""

_UNBROKEN = re.compile(f"[^\\s{UNSPACED}]+")
_NOT_WORD = re.compile(r"[\w\s]+")


@dataclass(frozen=True, slots=True)
class LongEnough:
    """Drop short documents; a Chinese, Japanese or Korean character counts as three."""

    min_chars: int
    name = "length"

    def __call__(self, document: Document) -> Document | Drop:
        """Return the document or a Drop."""
        size = len(document.text) + (CJK_WEIGHT - 1) * count_cjk(document.text)
        if size >= self.min_chars:
            return document
        return Drop("too short", f"length {size}, at least {self.min_chars} is needed")


@dataclass(frozen=True, slots=True)
class NoEndlessWord:
    """Drop documents with a very long run of characters without a space: base64, minified code."""

    max_word_chars: int
    name = "longest word"

    def __call__(self, document: Document) -> Document | Drop:
        """Return the document or a Drop."""
        if len(document.text) <= self.max_word_chars:
            return document
        longest = max(map(len, _UNBROKEN.findall(document.text)), default=0)
        if longest <= self.max_word_chars:
            return document
        return Drop("endless word", f"{longest} characters without a space, at most {self.max_word_chars}")


@dataclass(frozen=True, slots=True)
class FewRepeatedLines:
    """Drop documents that say the same lines again and again."""

    max_share: float
    name = "repeated lines"

    def __call__(self, document: Document) -> Document | Drop:
        """Return the document or a Drop."""
        lines = [line.strip() for line in document.text.split("\n") if line.strip()]
        total = sum(map(len, lines))
        share = (total - sum(map(len, set(lines)))) / max(1, total)
        return _at_most(
            document, "repeated lines", share, self.max_share, "of the characters in repeated lines"
        )


@dataclass(frozen=True, slots=True)
class FewRepeatedNgrams:
    """Drop documents that say the same phrases again and again."""

    max_share: float
    ngram: int
    name = "repeated n-grams"

    def __call__(self, document: Document) -> Document | Drop:
        """Return the document or a Drop."""
        hashes = hash_ngrams(document.text, self.ngram, self.ngram)
        share = 1 - len(np.unique(hashes)) / len(hashes)
        return _at_most(
            document, "repeated phrases", share, self.max_share, f"of the {self.ngram}-grams repeated"
        )


@dataclass(frozen=True, slots=True)
class NoRulingCharacter:
    """Drop documents that are mostly one character."""

    max_share: float
    name = "one character"

    def __call__(self, document: Document) -> Document | Drop:
        """Return the document or a Drop."""
        counts = Counter("".join(document.text.split()))
        character, n = max(counts.items(), key=lambda item: item[1], default=("", 0))
        share = n / max(1, sum(counts.values()))
        return _at_most(
            document, "one character", share, self.max_share, f"of the characters are {character!r}"
        )


@dataclass(frozen=True, slots=True)
class FewSymbols:
    """Drop documents that are mostly punctuation and symbols."""

    max_share: float
    name = "symbols"

    def __call__(self, document: Document) -> Document | Drop:
        """Return the document or a Drop."""
        others = _NOT_WORD.sub("", document.text)
        spaces = sum(map(document.text.count, " \n\t"))
        # Marks that belong to letters (Hindi vowels) are neither word characters nor symbols.
        symbols = sum(n for c, n in Counter(others).items() if unicodedata.category(c)[0] in "PSC")
        share = symbols / max(1, len(document.text) - spaces)
        return _at_most(document, "symbols", share, self.max_share, "of the characters are symbols")


@dataclass(frozen=True, slots=True)
class AllowedLanguage:
    """Name the language where it is unknown; drop documents in others than those allowed."""

    languages: tuple[str, ...]
    name = "language"

    def __call__(self, document: Document) -> Document | Drop:
        """Return the document with its language, or a Drop."""
        if document.language == UNKNOWN:
            document = replace(document, language=detect_language(document.text))
        if not self.languages or document.language in self.languages:
            return document
        return Drop("language", f"{document.language}, only {', '.join(self.languages)} wanted")


def _at_most(document: Document, reason: str, share: float, limit: float, what: str) -> Document | Drop:
    if share <= limit:
        return document
    return Drop(reason, f"{share:.2f} {what}, at most {limit:g}")
