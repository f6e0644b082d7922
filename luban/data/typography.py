"""Wide letters made narrow and printers' marks made plain, for those who want one form of each."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from luban.records import Document, Drop

_WIDE = {code: code - 0xFEE0 for a, z in ("０９", "ＡＺ", "ａｚ") for code in range(ord(a), ord(z) + 1)}
_MARKS = {
    **dict.fromkeys("“”„‟″", '"'),
    **dict.fromkeys("‘’‚‛′", "'"),
    **dict.fromkeys("‐‑‒–−", "-"),
    **dict.fromkeys("—―", "--"),
    "…": "...",
}
_CHINESE = "\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef"
_MARK = re.compile("[" + "".join(_MARKS) + "]+")
_BESIDE = re.compile(f"[{_CHINESE}]")


@dataclass(frozen=True, slots=True)
class PlainTypography:
    """Make full-width letters and digits half-width, and curly quotes, dashes and dots ASCII.

    A mark beside a Chinese character stays: there it is the usual one.
    """

    narrow: bool = False
    plain_marks: bool = False

    name = "typography"

    def __call__(self, document: Document) -> Document | Drop:
        """Return the document in plainer type."""
        text = document.text
        if text.isascii():
            return document
        if self.narrow:
            text = text.translate(_WIDE)
        if self.plain_marks:
            text = _MARK.sub(_plain, text)
        return document if text == document.text else replace(document, text=text)


def _plain(match: re.Match[str]) -> str:
    text, (start, end) = match.string, match.span()
    if _BESIDE.search(text, max(start - 1, 0), end + 1):
        return match[0]
    return "".join(map(_MARKS.__getitem__, match[0]))
