"""What a text repeats: words and phrases of three words, or runs of two to four characters of Chinese."""

from __future__ import annotations

import re
from collections import Counter

from luban.data.language import UNSPACED

_PIECE = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*|[.!?;:\n]")
_MARKS = frozenset(".!?;:\n")
_RUN = re.compile(f"[{UNSPACED}]+")
_STOP_WORDS = frozenset(
    "a an the and or but if of to in on at by for from with as is are was were be been it its this that these"
    " those he she they we you i his her their our your my me him them us not no so do does did have has had"
    " will would can could there here what which who when where how than then into out up down over about"
    " also one all any some such only other more most very just after before between".split()
)
_STOP_CHARACTERS = frozenset("的了着是在和与也就都而及之其以不有为于这那个一我你他她它们上下中来去到说要会")
MIN_SHOWN = 2
"""What is there once is no phrase."""


def count_words(text: str) -> dict[int, Counter[str]]:
    """Return words, the commonest aside, and phrases of three within a sentence, by their length in words.

    count_words("The cat sat.") -> {1: {"cat": 1, "sat": 1}, 3: {"the cat sat": 1}}
    """
    pieces = _PIECE.findall(text.lower())
    words = Counter(pieces)
    phrases = Counter(zip(pieces, pieces[1:], pieces[2:], strict=False))
    return {
        1: Counter(
            {w: n for w, n in words.items() if w not in _STOP_WORDS and w not in _MARKS and len(w) > 1}
        ),
        3: Counter({" ".join(p): n for p, n in phrases.items() if _MARKS.isdisjoint(p)}),
    }


def count_runs(text: str) -> dict[int, Counter[str]]:
    """Return runs of characters that neither begin nor end with a merely grammatical one, by length.

    count_runs("灯塔的光") -> {2: {"灯塔": 1}, 3: {"塔的光": 1}, 4: {"灯塔的光": 1}}
    """
    found: dict[int, Counter[str]] = {2: Counter(), 3: Counter(), 4: Counter()}
    for run in _RUN.findall(text):
        for n, counter in found.items():
            counter.update(map("".join, zip(*(run[i:] for i in range(n)), strict=False)))
    return {
        n: Counter(
            {
                r: k
                for r, k in counter.items()
                if r[0] not in _STOP_CHARACTERS and r[-1] not in _STOP_CHARACTERS
            }
        )
        for n, counter in found.items()
    }
