"""What each character is, as a table for kernels: its folded form, and whether words are made of it."""

from __future__ import annotations

import re
from functools import cache

import numpy as np
from numpy.typing import NDArray

from luban.data.language import UNSPACED

FOLDED = (1 << 21) - 1
"""The bits of an entry that hold the character without its case."""
IS_WORD, IS_UNSPACED, IS_SPACE = 1 << 28, 1 << 29, 1 << 30
"""Flags: part of a word (`\\w`); of a script without spaces; white space."""
BLOCK = 256
END = 0x32400  # no letters are assigned from here on; a longer table would only take memory


@cache
def character_table() -> NDArray[np.uint32]:
    """Return one entry for each code point, from Python's own Unicode data.

    Case is folded one character to one: "ß" stays, as its fold is two.
    """
    table = np.arange(END, dtype=np.uint32)
    everything = "".join(map(chr, range(END)))
    for flag, pattern in ((IS_WORD, r"\w+"), (IS_UNSPACED, f"[{UNSPACED}]+"), (IS_SPACE, r"\s+")):
        for match in re.finditer(pattern, everything):
            table[match.start() : match.end()] |= flag
    for start in range(0, END, BLOCK):
        block = everything[start : start + BLOCK]
        if block.casefold() != block:
            for point, folded in enumerate(map(str.casefold, block), start):
                if len(folded) == 1:
                    table[point] = (table[point] & ~np.uint32(FOLDED)) | ord(folded)
    return table


def entries(text: str) -> NDArray[np.uint32]:
    """Return the table's entry for each character of a text."""
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    table = character_table()
    return np.where(points < END, table[np.minimum(points, END - 1)], points)
