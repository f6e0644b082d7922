"""How near a completion is to what was really there."""

from __future__ import annotations


def edit_similarity(found: str, wanted: str) -> float:
    """Return 1 less the Levenshtein distance as a share of the longer text: 1 is equal, 0 all else.

    Source: arXiv:2102.04664 section 4.3 (CodeXGLUE), there from 0 to 100.
    """
    longest = max(len(found), len(wanted))
    return 1 - distance(found, wanted) / longest if longest else 1.0


def distance(first: str, second: str) -> int:
    """Return the fewest characters to insert, delete or replace that make one text of the other."""
    above = list(range(len(second) + 1))
    for i, a in enumerate(first, 1):
        row = [i]
        for j, b in enumerate(second, 1):
            row.append(min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a != b)))
        above = row
    return above[-1]


def rest_of_line(text: str) -> str:
    """Return what a completion has of the line that it goes on with."""
    return text.split("\n", 1)[0].rstrip()
