"""What each character is, as bits of one table that the native counts and their plain twins share."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

from luban.data.language import HAN, HANGUL, KANA, UNSPACED

SPACE, LETTER, WORD, SYMBOL, SPACELESS, CJK, HAN_CHARACTER, TERMINAL = (1 << i for i in range(8))
"""Spaceless: of a script without spaces between words. Terminal: ends a sentence, or closes one."""

TABLE_SIZE = 0x323B0
"""Every assigned letter lies below; what lies above counts as a symbol."""

TERMINAL_MARKS = ".!?\"'…”’。！？」』｡।॥؟۔։።"
"""Marks that end a sentence, and closing quotes, in Latin, Chinese, Japanese, Indic and other scripts."""


@cache
def character_classes() -> bytes:
    """Return the bits of every character, from the Unicode tables of this Python."""
    classes = bytearray(TABLE_SIZE)
    every = "".join(map(chr, range(TABLE_SIZE)))
    for bit, pattern in (
        (SPACE, r"\s"),
        (WORD, r"\w"),
        (SPACELESS, f"[{UNSPACED}]"),
        (CJK, f"[{HAN}{KANA}{HANGUL}]"),
        (HAN_CHARACTER, f"[{HAN}]"),
        (TERMINAL, f"[{re.escape(TERMINAL_MARKS)}]"),
    ):
        for run in re.finditer(f"{pattern}+", every):
            for code in range(run.start(), run.end()):
                classes[code] |= bit
    for code, bits in enumerate(classes):
        if bits & WORD and every[code].isalpha():
            classes[code] |= LETTER
        elif not bits & (WORD | SPACE) and unicodedata.category(every[code])[0] in "PSC":
            classes[code] |= SYMBOL  # a mark that belongs to a letter (a Hindi vowel) is neither
    return bytes(classes)
