"""Dates of birth, ages, and (when asked for) any date."""

from __future__ import annotations

import re
from collections.abc import Iterator

from luban.privacy.spans import Span, says

_MONTH = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?"
    r"|Sept?(?:ember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)"
)
_NUMERIC = (
    r"[0-9]{4}([-/.])[0-9]{1,2}\1[0-9]{1,2}(?:[ T][0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?)?(?![0-9])"
    r"|[0-9]{1,2}([-/.])[0-9]{1,2}\2(?:[0-9]{4}|[0-9]{2})(?![0-9])"
)
_CHINESE = r"[0-9]{4} ?年 ?[0-9]{1,2} ?月(?: ?[0-9]{1,2} ?[日号])?"
_WRITTEN = rf"[0-9]{{1,2}}(?:st|nd|rd|th)? (?:of )?{_MONTH}\.?,? [0-9]{{4}}(?![0-9])"
_MONTH_FIRST = rf"{_MONTH}\.? [0-9]{{1,2}}(?:st|nd|rd|th)?,? [0-9]{{4}}(?![0-9])"
_DATES = re.compile(f"{_NUMERIC}|{_CHINESE}|{_WRITTEN}")
_MONTHS = re.compile(_MONTH_FIRST)
_COMPACT = re.compile(r"(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])(?![0-9])")
_FIELD = re.compile(
    r"(?:\bd\.?o\.?b\.?\b|\b(?:date of birth|birth ?date|birthday)\b|出生日期|出生年月日?|生日"
    r"|出生时间)[^0-9A-Za-z\n]{0,4}(?:is |on |是|为)?\s{0,2}\Z",
    re.I,
)
_STORY = re.compile(r"\b(?:born|birth|née?|geb\.?|b\.)\b[^.;\n]{0,24}\Z", re.I)
_BIRTH = ("irth", "IRTH", "DOB", "dob", "O.B", "o.b", "born ", "née", "geb.")
_CHINESE_BIRTH = ("出生", "生日", "生于", "生於", "生人")
_BORN_AFTER = re.compile(r" ?(?:出生(?P<story>[于於在])?|(?P<told>生[于於])|生人|生，)")
_AGE = re.compile(
    r"[0-9]{1,3}(?=(?: |-)?(?:years?|yrs?)(?: |-)old\b| ?(?:y/o|yo)\b|(?: |-)year(?: |-)old| ?周?岁"
    r"| years of age)"
)
_AGE_AFTER = re.compile(
    r"(?:\b(?:[Aa]ged?|AGE|turned|turning|turns?|age is|I'm|I’m|I am|(?:s?he|who) is|s?he's)|年龄|现年"
    r"|今年)[:： ]{0,3}(?:is )?([0-9]{1,3})"
    r"(?=[.,;!?)，。；、\n]|\Z| (?:and|but|now|already|today|this|next|last)\b)"
)
_ANY_DATE = re.compile(
    r"\b(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day\b|(?<=\b(?:in|of|an|by) )(?:1[5-9]|20)[0-9]{2}(?![0-9])"
    r"|(?<=\b(?:since) )(?:1[5-9]|20)[0-9]{2}(?![0-9])|(?<=\ba )(?:1[5-9]|20)[0-9]{2}(?![0-9])"
    r"|星期[一二三四五六日天]|[0-9]{4}年"
)


def find_dates(text: str, types: frozenset[str], has_han: bool) -> Iterator[Span]:
    """Yield dates of birth, and all dates and ages where `types` has them."""
    if "birth_date" in types:
        for start, end in _near_births(text, has_han):
            for match in _dates(text, start, end):
                yield from _birth(text, match)
            for match in _COMPACT.finditer(text, start, end):
                if says(_FIELD, text, match.start(), 24) and not text[match.start() - 1].isdigit():
                    yield Span(*match.span(), "birth_date", "form field", 0.8)
    if "date" in types:
        for match in _dates(text, 0, len(text)):
            yield Span(*match.span(), "date", "date", 0.55)
        for match in _ANY_DATE.finditer(text):
            yield Span(*match.span(), "date", "day or year", 0.5)
    if "age" in types:
        yield from _ages(text)


def _near_births(text: str, has_han: bool) -> Iterator[tuple[int, int]]:
    """Yield the stretches around words for birth, joined where they touch."""
    start = end = 0
    marks = (*_BIRTH, *_CHINESE_BIRTH) if has_han else _BIRTH
    for place in sorted(
        m.start() for mark in marks if mark in text for m in re.finditer(re.escape(mark), text)
    ):
        if place - 32 > end:
            if end:
                yield start, end
            start = max(0, place - 32)
        end = min(len(text), place + 52)
    if end:
        yield start, end


def _dates(text: str, start: int, end: int) -> Iterator[re.Match[str]]:
    for shape in (_DATES, _MONTHS):
        for match in shape.finditer(text, start, end):
            if not match.start() or not text[match.start() - 1].isdigit():
                yield match


def _birth(text: str, match: re.Match[str]) -> Iterator[Span]:
    if says(_FIELD, text, match.start(), 24):
        yield Span(*match.span(), "birth_date", "form field", 0.85)
    elif after := _BORN_AFTER.match(text, match.end()):
        yield Span(*match.span(), "birth_date", "born", 0.45 if after.lastgroup else 0.55)
    elif says(_STORY, text, match.start(), 30):
        # Biographies tell birthdays of the famous in words; forms and chats write them in figures.
        is_written = any(c.isalpha() and c.isascii() for c in match.group())
        yield Span(*match.span(), "birth_date", "born", 0.45 if is_written else 0.65)


def _ages(text: str) -> Iterator[Span]:
    for match in _AGE.finditer(text):
        if 0 < int(match.group()) < 125 and not text[match.start() - 1 : match.start()].isdigit():
            yield Span(*match.span(), "age", "age", 0.7)
    for match in _AGE_AFTER.finditer(text):
        if 0 < int(match.group(1)) < 125:
            yield Span(*match.span(1), "age", "age", 0.65)
