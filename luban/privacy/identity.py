"""Identity cards of Taiwan and Hong Kong: a letter or two, digits, and a check digit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from luban.privacy.checks import is_hong_kong_id, is_taiwan_id
from luban.privacy.spans import Span, is_word, says

_TAIWAN = re.compile(r"[A-Z][1289][0-9]{8}(?![0-9A-Za-z])")
_HONG_KONG = re.compile(r"[A-Z]{1,2}[0-9]{6}(?:\([0-9A]\)|（[0-9A]）|[0-9A](?![0-9A-Za-z]))")
_SAYS_ID = re.compile(r"身[份分]证|居留证|证[号件]|\bHKID\b|\bID\b|\bidentity\b", re.I)


def find_island_ids(text: str, runs: Sequence[tuple[int, int]]) -> Iterator[Span]:
    """Yield the numbers whose check digit is right; `runs` are the text's digits."""
    for start, end in runs:
        if 5 < end - start < 10 and is_word(text, start - 1):
            if end - start == 9:
                yield from _taiwan(text, start - 1)
            elif end - start < 8:
                yield from _hong_kong(text, start - 2 if is_word(text, start - 2) else start - 1)


def _taiwan(text: str, first: int) -> Iterator[Span]:
    match = _TAIWAN.match(text, first)
    if match and not is_word(text, first - 1) and is_taiwan_id(match.group()):
        # One serial number in ten has the right check digit, so a word must speak for it.
        sure = 0.95 if says(_SAYS_ID, text, first, 24) else 0.4
        yield Span(*match.span(), "id_card", "Taiwan ID", sure)


def _hong_kong(text: str, first: int) -> Iterator[Span]:
    match = _HONG_KONG.match(text, first)
    if match and not is_word(text, first - 1) and is_hong_kong_id(match.group()):
        is_bracketed = match.group()[-1] in ")）"
        sure = 0.95 if says(_SAYS_ID, text, first, 24) else 0.7 if is_bracketed else 0.3
        yield Span(*match.span(), "id_card", "Hong Kong ID", sure)
