"""What a rule finds, and what stands around it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

WINDOW = 40
"""Characters before a find in which a word may speak for it."""


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of text, `text[start:end]`, that is personal or secret.

    `confidence` is the share of such finds that we expect to be right, by judgement, not by counting.
    """

    start: int
    end: int
    type: str
    rule: str
    confidence: float


def says(context: re.Pattern[str], text: str, start: int, width: int = WINDOW) -> bool:
    """Whether a word of the context stands in the characters before `start`."""
    return context.search(text, max(0, start - width), start) is not None


_RUN = re.compile("[0-9][0-9]*")  # as fast again as with a plus: the engine looks for one character


def digit_runs(text: str) -> list[tuple[int, int]]:
    """Return where the runs of digits are: most of what is personal has some, most of a text has none."""
    return [match.span() for match in _RUN.finditer(text)]


def is_word(text: str, place: int) -> bool:
    """Whether an ASCII letter or digit stands at a place, which may lie outside the text."""
    return 0 <= place < len(text) and text[place].isascii() and text[place].isalnum()


def without_overlaps(spans: Iterable[Span]) -> list[Span]:
    """Return spans in the order of the text; of those that overlap the surest stays, then the longest."""
    taken: list[Span] = []
    for span in sorted(spans, key=lambda s: (s.start, -s.end)):
        while taken and span.start < taken[-1].end:
            if _rank(span) <= _rank(taken[-1]):
                break
            taken.pop()
        else:
            taken.append(span)
    return taken


def _rank(span: Span) -> tuple[float, int]:
    return span.confidence, span.end - span.start
