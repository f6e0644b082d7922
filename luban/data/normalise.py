"""Texts in one form: mojibake undone, characters composed, white space tidy."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from unicodedata import is_normalized

from luban.data.extras import load_extra
from luban.records import Document, Drop

_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u200b\u2060\ufeff\ufff9-\ufffb]")
_SUSPECT = re.compile(
    "[&\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u2028\u2029\u2060\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
_TRAILING = re.compile(r"[^\S\n]+(?=\n|$)")
_BLANK_LINES = re.compile(r"\n{3,}")


@dataclass(frozen=True, slots=True)
class RepairUnicode:
    """Undo mojibake ("cafÃ©" → "café"), compose characters (NFC), take out control characters."""

    name = "unicode"

    def __call__(self, document: Document) -> Document | Drop:
        """Return the document with its text repaired."""
        return replace(document, text=repair_unicode(document.text))


def repair_unicode(text: str) -> str:
    """Return the text without mojibake and control characters, in NFC.

    Quotes, ligatures and wide characters stay: they are the writer's, not errors.
    """
    ftfy = load_extra("ftfy")
    if not _SUSPECT.search(text) and is_normalized("NFC", text) and not ftfy.badness.is_bad(text):
        return text  # what ftfy would say too, at five times the price
    fixed = ftfy.fix_text(
        text,
        uncurl_quotes=False,
        fix_character_width=False,
        fix_latin_ligatures=False,
        normalization="NFC",
    )
    return _CONTROLS.sub("", fixed)


@dataclass(frozen=True, slots=True)
class TidyWhitespace:
    """Trim lines' ends and the text; at most one blank line between paragraphs."""

    name = "whitespace"

    def __call__(self, document: Document) -> Document | Drop:
        """Return the document with tidy whitespace; an indent at a line's start stays."""
        text = _TRAILING.sub("", document.text)
        text = _BLANK_LINES.sub("\n\n", text).strip()
        return replace(document, text=text)
