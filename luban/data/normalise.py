"""Texts in one form: mojibake undone, characters composed, hidden ones out, white space tidy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal
from unicodedata import is_normalized, normalize

from luban.data.chinese_script import ConvertChinese
from luban.data.extras import load_extra
from luban.data.mojibake import BROKEN, CHINESE_SIGN, SIGN_START, repair_chinese
from luban.data.settings import NormaliseSettings
from luban.data.typography import PlainTypography
from luban.records import Document, Drop

Form = Literal["NFC", "NFKC"]
PLAIN_ASCII = bytes([*b"\t\n", *range(0x20, 0x7F)])

_MOST_LAYERS = 5  # of damage upon damage; more come of no accident
_ENTITY = re.compile("&#?[0-9A-Za-z]{1,24};")
_LINE_ENDS = re.compile(  # beside another byte of UTF-8, U+0085 is part of a character
    "\r\n?|[\x0b\x0c\u2028\u2029]|(?<![\x80-\xff])\x85(?![\x80-\xff])"
)
_RIGHT_TO_LEFT = re.compile(
    "[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001eeff]"
)
_BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_JOINERS = "\u200c\u200d"
_PLAIN = "\\s\x21-\u024f\u2e80-\u9fff\uac00-\ud7af\uff00-\uffef"  # scripts that no joiner shapes
_HIDDEN = (
    "\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u115f\u1160\u180e\u200b\u2060-\u2064\u206a-\u206f\ufeff"
    "\ufdd0-\ufdef\ufff9-\ufffc\ufffe\uffff\ue000-\uf8ff\U000f0000-\U0010ffff"
)
_OURS = re.compile(f"[{_HIDDEN}{_BIDI}{_JOINERS}{BROKEN}\x0b\x0c\r\x85\u2028\u2029\U000e0000-\U000e007f]")
_SIGN_START = re.compile(f"[{SIGN_START}]")
_SIGN = re.compile(f"锟斤|{CHINESE_SIGN}")
_LATIN_RUN = re.compile("[\x80-\xff]{4}")
_LINE_STARTS = ("Â ", "Ã ")  # what ftfy finds fault with at a line's start only
_FTFY_REACH = 12
"""ftfy's sequences are at most seven characters long."""
_HIDDEN_RUN = re.compile(f"[{_HIDDEN}]+")
_PRIVATE_IN_CHINESE = re.compile(  # a font's stand-in for a rare character, not an icon
    "(?<=[\u3001-\u9fff\uff01-\uff60])[\ue000-\uf8ff]|[\ue000-\uf8ff](?=[\u3001-\u9fff\uff01-\uff60])"
)
_TAGS = re.compile("(\U0001f3f4[\U000e0020-\U000e007f]+)|[\U000e0000-\U000e007f]+")  # flags keep theirs
_IDLE_JOINERS = re.compile(f"(?<![^{_PLAIN}])[{_JOINERS}]+|[{_JOINERS}]+(?![^{_PLAIN}])")
_BIDI_RUN = re.compile(f"[{_BIDI}]+")
_ODD_SPACES = "\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f"
_ODD_SPACE = re.compile(f"[{_ODD_SPACES}]")
_BLANK_LINES = re.compile(r"\n{3,}")
_HYPHEN_END = re.compile("(?<=[a-zß-öø-ÿ])[-\u2010]\n[ \t]*(?=[a-zß-öø-ÿ])")


def normalise_steps(settings: NormaliseSettings) -> list[Any]:
    """Return the steps that bring texts into one form, in order; what is not asked for is left out."""
    steps: list[Any] = [RepairUnicode(settings.form, settings.max_broken)]
    if settings.narrow or settings.plain_marks:
        steps.append(PlainTypography(settings.narrow, settings.plain_marks))
    if settings.chinese_script != "keep":
        steps.append(ConvertChinese(settings.chinese_script))
    return [*steps, TidyWhitespace(settings.join_hyphens)]


@dataclass(frozen=True, slots=True)
class RepairUnicode:
    """Undo mojibake ("cafÃ©" → "café", "浣犲ソ" → "你好"), compose characters, take out hidden ones.

    Documents with a larger share of lost characters than `max_broken` are dropped.
    """

    form: Form = "NFC"
    max_broken: float = 1.0

    name = "unicode"

    def __call__(self, document: Document) -> Document | Drop:
        """Return the document with its text repaired, or a Drop if too much of it is lost."""
        text = repair_unicode(document.text, self.form)
        broken = text.count(BROKEN)
        if broken > self.max_broken * len(text):
            detail = f"{broken} of {len(text)} characters are lost for good (U+FFFD, 锟斤拷), at most "
            return Drop("broken characters", f"{detail}{self.max_broken:.1%} may be")
        return document if text == document.text else replace(document, text=text)


@dataclass(frozen=True, slots=True)
class TidyWhitespace:
    """Trim lines' ends and the text; at most one blank line between paragraphs; one kind of space.

    `join_hyphens` joins words that a printed page broke ("exam-\\nple").
    """

    join_hyphens: bool = False

    name = "whitespace"

    def __call__(self, document: Document) -> Document | Drop:
        """Return the document with tidy whitespace; an indent at a line's start stays."""
        text = tidy_whitespace(document.text)
        if self.join_hyphens:
            text = _HYPHEN_END.sub("", text)
        return document if text == document.text else replace(document, text=text)


def repair_unicode(text: str, form: Form = "NFC") -> str:
    """Return the text without mojibake and hidden characters, composed; whole lines end in a newline.

    Quotes, ligatures and wide characters stay, unless NFKC is asked for. What mojibake has destroyed
    becomes U+FFFD. Text that needs no repair comes back as it is.
    """
    for _ in range(_MOST_LAYERS):
        if _is_clean(text, form):
            break
        before, text = text, _repair(text, form)
        if text == before:
            break
    return text


def _repair(text: str, form: Form) -> str:
    text = _LINE_ENDS.sub("\n", text)
    ftfy = load_extra("ftfy")
    if not text.isascii() or _ENTITY.search(text) or "\x1b" in text:
        text = repair_chinese(text)
        text = ftfy.fix_text(
            text,
            uncurl_quotes=False,
            fix_character_width=False,
            fix_latin_ligatures=False,
            normalization="NFC",
        )
    text = _PRIVATE_IN_CHINESE.sub(BROKEN, text)
    text = _TAGS.sub(r"\1", _HIDDEN_RUN.sub("", text))
    text = _IDLE_JOINERS.sub("", text)
    if not _RIGHT_TO_LEFT.search(text):
        text = _BIDI_RUN.sub("", text)
    return normalize(form, text)


def tidy_whitespace(text: str) -> str:
    """Return the text with trimmed lines, no two blank lines in a row and plain spaces."""
    if not text.isascii():
        text = _ODD_SPACE.sub(" ", text)
    text = "\n".join(map(str.rstrip, text.split("\n")))
    if "\n\n\n" in text:
        text = _BLANK_LINES.sub("\n\n", text)
    return text.strip()


def _is_clean(text: str, form: Form) -> bool:
    """Whether repair would change nothing; it may err only towards repair."""
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        return False  # half a surrogate pair
    if "&" in text and _ENTITY.search(text):
        return False
    chinese = len(encoded) > 2 * len(text)  # mostly: then taking out the rest costs more than reading it
    foreign = text if chinese else encoded.translate(None, PLAIN_ASCII).decode()
    if not foreign:
        return True
    if any(_SIGN.match(text, start.start()) for start in _sign_starts(text, foreign)):
        return False
    if not is_normalized(form, text):
        return False
    if not _suspects().search(foreign):
        return True
    return not _OURS.search(foreign) and not _is_western_mojibake(text)


def _sign_starts(text: str, foreign: str) -> Iterator[re.Match[str]]:
    if _SIGN_START.search(foreign):
        yield from _SIGN_START.finditer(text)


def _is_western_mojibake(text: str) -> bool:
    """Whether ftfy or we would find fault; ftfy reads slowly, so only where its characters stand together."""
    if text.startswith(_LINE_STARTS) or any(f"\n{start}" in text for start in _LINE_STARTS):
        return True
    bad = load_extra("ftfy.badness").BADNESS_RE
    run, pair = _western_run(), _western_pair()
    for start, end in (match.span() for match in run.finditer(text)):
        if _LATIN_RUN.search(text, max(start - 3, 0), end + 3):
            return True
        before = max(start - _FTFY_REACH, 0)
        if pair.search(text, max(start - 1, 0), end + 1) and bad.search(text, before, end + _FTFY_REACH):
            return True
    return False


@cache
def _suspects() -> re.Pattern[str]:
    """Match what may need repair: hidden characters, and one at least of all that ftfy finds fault with."""
    return re.compile(f"{_OURS.pattern[:-1]}{_western()[0]}]")


@cache
def _western_run() -> re.Pattern[str]:
    return re.compile(f"[{_western()[0]}]+")


@cache
def _western_pair() -> re.Pattern[str]:
    """Match a part of each sequence that ftfy takes for mojibake: two of its characters, or one of a few."""
    own, others = _western()
    return re.compile(f"[{own}][{own}{others}]|[{others}][{own}]|[\x80-\x9fŒœÃÂ]")


@cache
def _western() -> tuple[str, str]:
    """Return ftfy's classes of characters, apart those that writers use much: quotes, dashes, spaces.

    Each sequence that its pattern names holds a character of the first.
    """
    classes: dict[str, str] = load_extra("ftfy.badness").MOJIBAKE_CATEGORIES
    usual = ("common", "start_punctuation", "end_punctuation")
    own = "".join(characters for name, characters in classes.items() if name not in usual)
    return own, "".join(classes[name] for name in usual)
