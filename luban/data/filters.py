"""Filters: each takes a document and returns it, or a Drop with the value and the threshold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from luban.data.language import UNKNOWN, chinese_script, identify_language
from luban.data.quality.measure import count_distinct, measure
from luban.data.shingles import hash_ngrams
from luban.records import Document, Drop

CJK_WEIGHT = 3
"""A Chinese character says about as much as three Latin letters, and takes as many bytes."""


@dataclass(frozen=True, slots=True)
class LongEnough:
    """Drop short documents; a Chinese, Japanese or Korean character counts as three."""

    min_chars: int
    name = "length"

    def __call__(self, document: Document) -> Document | Drop:
        """Return the document or a Drop."""
        size = len(document.text) + (CJK_WEIGHT - 1) * measure(document.text).cjk
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
        longest = measure(document.text).longest_word
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
        counts = measure(document.text)
        share = counts.repeated_line_chars / max(1, counts.line_chars)
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
        share = 1 - count_distinct(hashes) / len(hashes)
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
        counts = measure(document.text)
        share = counts.top_count / max(1, counts.chars - counts.spaces)
        what = f"of the characters are {chr(counts.top_character)!r}"
        return _at_most(document, "one character", share, self.max_share, what)


@dataclass(frozen=True, slots=True)
class FewSymbols:
    """Drop documents that are mostly punctuation and symbols."""

    max_share: float
    name = "symbols"

    def __call__(self, document: Document) -> Document | Drop:
        """Return the document or a Drop."""
        counts = measure(document.text)
        share = counts.symbols / max(1, counts.chars - counts.spaces)
        return _at_most(document, "symbols", share, self.max_share, "of the characters are symbols")


@dataclass(frozen=True, slots=True)
class AllowedLanguage:
    """Name the language where it is unknown; drop documents in others than those allowed, or too unsure.

    Of a Chinese document whose language is named here, `extra["script"]` says Hans or Hant.
    """

    languages: tuple[str, ...]
    model: str = "langid"
    min_confidence: float = 0.0
    name = "language"

    def __call__(self, document: Document) -> Document | Drop:
        """Return the document with its language, or a Drop."""
        if document.language == UNKNOWN:
            language, confidence = identify_language(document.text, self.model)
            if confidence < self.min_confidence:
                detail = f"{language} with confidence {confidence:.2f}, at least {self.min_confidence:g}"
                return Drop("unsure language", detail)
            document = replace(document, language=language, extra=_with_script(document, language))
        if not self.languages or document.language in self.languages:
            return document
        return Drop("language", f"{document.language}, only {', '.join(self.languages)} wanted")


def _with_script(document: Document, language: str) -> Mapping[str, Any]:
    script = chinese_script(document.text) if language == "zh" else ""
    return {**document.extra, "script": script} if script else document.extra


def _at_most(document: Document, reason: str, share: float, limit: float, what: str) -> Document | Drop:
    if share <= limit:
        return document
    return Drop(reason, f"{share:.2f} {what}, at most {limit:g}")
