"""Gopher's rules of quality and repetition (Rae et al. 2021, arXiv:2112.11446, appendix A1.1).

The paper does not say what a word is (here: a run without a space, with the marks at it), what it divides
characters by (here: all characters in words, lines or paragraphs), whether "#" and "..." are counted together
(here: apart), whether stop words must differ (here: yes), or how overlapping n-grams count (here: as in
the implementation most used, datatrove: the search goes on behind a repeated n-gram).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from luban.data.quality.checks import Checks, at_least, at_most, is_judged, judge, ratio
from luban.data.quality.measure import count_repeats, measure
from luban.data.quality.settings import GopherSettings
from luban.native.text import TextCounts
from luban.records import Document, Drop


@dataclass(frozen=True, slots=True)
class Gopher:
    """Drop what is no running text, or says the same again and again."""

    settings: GopherSettings
    name = "gopher"

    def __call__(self, document: Document) -> Document | Drop:
        """Return the document or a Drop."""
        if not is_judged(document, self.settings.languages):
            return document
        return judge(self.name, document, self._checks(document.text))

    def _checks(self, text: str) -> Checks:
        counts = measure(text)
        yield from _quality(counts, self.settings)
        found = count_stop_words(text, self.settings.stop_words, self.settings.min_stop_words)
        yield at_least("few stop words", found, self.settings.min_stop_words, "different stop words")
        yield from _repetition(counts, self.settings)
        yield from _ngrams(text, counts, self.settings)


def _quality(c: TextCounts, s: GopherSettings) -> Checks:
    yield at_least("few words", c.words, s.min_words, "words")
    yield at_most("many words", c.words, s.max_words, "words")
    mean = ratio(c.word_chars, c.words)
    yield at_least("short words", mean, s.min_mean_word, "characters a word")
    yield at_most("long words", mean, s.max_mean_word, "characters a word")
    yield at_most("hash signs", ratio(c.hashes, c.words), s.max_hashes, "hash signs a word")
    yield at_most("ellipses", ratio(c.ellipses, c.words), s.max_ellipses, "ellipses a word")
    bullets = ratio(c.bullet_lines, c.lines)
    yield at_most("bullets", bullets, s.max_bullet_lines, "of the lines start with a bullet")
    ellipses = ratio(c.ellipsis_lines, c.lines)
    yield at_most("cut lines", ellipses, s.max_ellipsis_lines, "of the lines end with an ellipsis")
    alpha = ratio(c.alpha_words, c.words)
    yield at_least("words without letters", alpha, s.min_alpha_words, "of the words have a letter")


def _repetition(c: TextCounts, s: GopherSettings) -> Checks:
    lines = ratio(c.repeated_lines, c.lines)
    yield at_most("repeated lines", lines, s.max_repeated_lines, "of the lines repeated")
    paragraphs = ratio(c.repeated_paragraphs, c.paragraphs)
    yield at_most("repeated paragraphs", paragraphs, s.max_repeated_paragraphs, "of the paragraphs repeated")
    chars = ratio(c.repeated_line_chars, c.line_chars)
    what = "of the characters in repeated lines"
    yield at_most("repeated lines", chars, s.max_repeated_line_chars, what)
    chars = ratio(c.repeated_paragraph_chars, c.line_chars)
    what = "of the characters in repeated paragraphs"
    yield at_most("repeated paragraphs", chars, s.max_repeated_paragraph_chars, what)


def _ngrams(text: str, c: TextCounts, s: GopherSettings) -> Checks:
    chars = count_repeats(text)
    tops = (s.max_top_2gram, s.max_top_3gram, s.max_top_4gram)
    repeated = (
        s.max_repeated_5grams,
        s.max_repeated_6grams,
        s.max_repeated_7grams,
        s.max_repeated_8grams,
        s.max_repeated_9grams,
        s.max_repeated_10grams,
    )
    for n, (found, limit) in enumerate(zip(chars[:3], tops, strict=True), start=2):
        share = min(1.0, ratio(found, c.word_chars))  # an n-gram may overlap with itself
        yield at_most(f"top {n}-gram", share, limit, f"of the characters in the most frequent {n}-gram")
    for n, (found, limit) in enumerate(zip(chars[3:], repeated, strict=True), start=5):
        share = ratio(found, c.word_chars)
        yield at_most(f"repeated {n}-grams", share, limit, f"of the characters in repeated {n}-grams")


def count_stop_words(text: str, words: Sequence[str], enough: int) -> int:
    """Return how many of the words a text has, in any case; it stops looking at `enough`."""
    found: set[str] = set()
    for word in dict.fromkeys(map(str.lower, words)):
        if len(found) < enough and f" {word} " in text:  # as in most prose, and found much faster
            found.add(word)
    if len(found) >= enough:
        return len(found)
    for match in _pattern(tuple(words)).finditer(text):
        found.add(match[0].lower())
        if len(found) >= enough:
            break
    return len(found)


@cache
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    if not words:
        return re.compile("(?!)")
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, words))})\b", re.IGNORECASE)
