"""FineWeb's rules against lists, menus and repetition (Penedo et al. 2024, arXiv:2406.17557, section 3.5).

Empty lines do not count, and spaces around a line do not either. The paper drops a document that is at a
threshold; here it stays, as in the code that goes with the paper, so that 0 or 1 turns a rule off.
"""

from __future__ import annotations

from dataclasses import dataclass

from luban.data.quality.checks import Checks, at_least, at_most, is_judged, judge, ratio
from luban.data.quality.measure import measure
from luban.data.quality.settings import FineWebSettings
from luban.records import Document, Drop


@dataclass(frozen=True, slots=True)
class FineWeb:
    """Drop documents whose lines are mostly short, end no sentence, or were there before."""

    settings: FineWebSettings
    name = "fineweb"

    def __call__(self, document: Document) -> Document | Drop:
        """Return the document or a Drop."""
        if not is_judged(document, self.settings.languages):
            return document
        return judge(self.name, document, self._checks(document.text))

    def _checks(self, text: str) -> Checks:
        c, s = measure(text), self.settings
        share = ratio(c.terminal_lines, c.lines)
        yield at_least("unfinished lines", share, s.min_terminal_lines, "of the lines end in a terminal mark")
        share = ratio(c.repeated_line_chars, c.line_chars)
        what = "of the characters in repeated lines"
        yield at_most("repeated lines", share, s.max_repeated_line_chars, what)
        share = ratio(count_short_lines(text, s.short_line), c.lines)
        what = f"of the lines have less than {s.short_line} characters"
        yield at_most("short lines", share, s.max_short_lines, what)


def count_short_lines(text: str, short: int) -> int:
    """Return how many lines with something in them have fewer characters, spaces around them aside."""
    return sum(0 < len(line.strip()) < short for line in text.split("\n"))
