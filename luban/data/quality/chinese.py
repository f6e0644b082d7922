"""Rules for Chinese web text.

From EvalWeb (Chen et al. 2023, ChineseWebText, arXiv:2311.01149, section 3.1): length, mean line, share of
Chinese characters, repeated 13-grams. EvalWeb also drops traditional characters, which stay here (language
identification names the script), and counts sensitive words, which is the set `words` here. From FineWeb-2
(Penedo et al. 2025, arXiv:2506.20920, configuration cmn_Hani): lines that end in a terminal mark, repeated
lines. Two different function words are Gopher's rule of stop words, with characters chosen here. Gopher's
n-grams of words need a segmenter, whose errors would decide; n-grams of characters stand for them.
"""

from __future__ import annotations

from dataclasses import dataclass

from luban.data.quality.checks import Checks, at_least, at_most, is_judged, judge, ratio
from luban.data.quality.measure import count_repeated_chars, measure
from luban.data.quality.settings import ChineseSettings
from luban.records import Document, Drop


@dataclass(frozen=True, slots=True)
class Chinese:
    """Drop Chinese documents that are short, no running text, or repeat themselves."""

    settings: ChineseSettings
    name = "chinese"

    def __call__(self, document: Document) -> Document | Drop:
        """Return the document or a Drop."""
        if not is_judged(document, self.settings.languages):
            return document
        return judge(self.name, document, self._checks(document.text))

    def _checks(self, text: str) -> Checks:
        c, s = measure(text), self.settings
        yield at_least("short", c.chars, s.min_chars, "characters")
        mean = ratio(c.line_chars, c.lines)
        yield at_least("short lines", mean, s.min_mean_line, "characters a line")
        share = ratio(c.han, c.chars - c.spaces)
        yield at_least("little Chinese", share, s.min_chinese, "of the characters Chinese")
        share = ratio(c.terminal_lines, c.lines)
        what = "of the lines end in a terminal mark"
        yield at_least("unfinished lines", share, s.min_terminal_lines, what)
        share = ratio(c.repeated_lines, c.lines)
        yield at_most("repeated lines", share, s.max_repeated_lines, "of the lines repeated")
        found = sum(word in text for word in s.function_words)
        yield at_least("few function words", found, s.min_function_words, "different function words")
        ngrams, repeated = count_repeated_chars(text, s.ngram)
        what = f"of the {s.ngram}-grams stand in several places"
        yield at_most("repeated phrases", ratio(repeated, ngrams), s.max_repeated_ngrams, what)
