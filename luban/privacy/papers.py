"""Letters and digits on papers: IBANs, passports, plates, company codes, licences, postcodes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from luban.privacy.checks import is_company_code, is_iban
from luban.privacy.spans import Span, is_word, says

_IBAN = re.compile(
    r"[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){10,30}(?![0-9A-Za-z])|[a-z]{2}[0-9]{2}[a-z0-9]{10,30}(?![0-9A-Za-z])"
)
_COMPANY = re.compile(r"[1-9A-GY][1239][0-9]{6}[0-9A-HJ-NPQRTUWXY]{10}(?![0-9A-Za-z])")
_SAYS_COMPANY = re.compile(r"代码|信用|税号|识别号|注册号|USCC|credit code|tax", re.I)
_PROVINCES = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"
_PLATE = re.compile(
    f"[{_PROVINCES}][A-HJ-NP-Z] ?[·•.-]? ?(?=[A-Z]{{0,4}}[0-9])"
    r"(?:[DF][A-HJ-NP-Z0-9][0-9]{4}|[0-9]{5}[DF]|[A-HJ-NP-Z0-9]{4}[A-HJ-NP-Z0-9挂学警港澳])(?![0-9A-Za-z])"
)
_CHINESE_PASSPORT = re.compile(
    r"(?:[EeGgDdSsPpHh][0-9]{8}|[Ee][A-HJ-NP-Za-hj-np-z][0-9]{7}|[CcWwMm][0-9]{8})(?![0-9A-Za-z])"
)
_SAYS_CHINESE_PASSPORT = re.compile(r"护照|通行证|证件|passport|travel document", re.I)
_PASSPORT = re.compile(r"\bpassport[^0-9\n]{0,30}?\b((?:[A-Z]{0,2}[0-9]{6,9}))(?![0-9A-Za-z])", re.I)
_DRIVING = re.compile(
    r"icen[cs]e\b[^0-9\n]{0,24}?\b([A-Z]{0,2}[0-9]{4,14}(?:-[0-9]{2,4}){0,3})(?![0-9A-Za-z])"
)
_SAYS_DRIVING = re.compile(r"\b(?:drivers?'?s?|driver’s|driving)[ -]?l\Z", re.I)
_BRITISH_DRIVING = re.compile(r"\b[A-Z9]{5}[0-9]{6}[A-Z9]{2}[A-Z0-9]{3}(?![0-9A-Za-z])")
_SAYS_POSTCODE = re.compile(
    r"(?:\bzip(?: ?code)?|\bpost(?:al)? ?code|邮编|邮政编码)[^0-9A-Z\n]{0,12}\Z|\b(?:ZIP|Zip) ?(?:CODE"
    r"|Code)[^0-9\n]{0,8}\Z",
    re.I,
)
_UK_POSTCODE = re.compile(r"[A-Z]{1,2}[0-9][A-Z0-9]? [0-9][ABD-HJLNP-UW-Z]{2}(?![0-9A-Za-z])")
_PLUS_FOUR = re.compile(r"[0-9]{5}-[0-9]{4}(?![0-9A-Za-z-])")
_STATES = frozenset(
    "AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY NC "
    "ND OH OK "
    "OR PA RI SC SD TN TX UT VT VA WA WV WI WY DC PR AA AE AP".split()
)


Runs = Sequence[tuple[int, int]]


def find_papers(text: str, runs: Runs, types: frozenset[str]) -> Iterator[Span]:
    """Yield IBANs, passports, plates, company codes, driving licences and postcodes, those of the `types`.

    `runs` are the text's digits.
    """
    for name, find in _FINDERS.items():
        if name in types:
            yield from find(text, runs)


def _ibans(text: str, runs: Runs) -> Iterator[Span]:
    for start, end in runs:
        if end - start > 1 and is_word(text, start - 1) and is_word(text, start - 2) and start > 1:
            match = _IBAN.match(text, start - 2)
            if match and not is_word(text, start - 3):
                yield from _iban(match)


def _iban(match: re.Match[str]) -> Iterator[Span]:
    value = match.group()
    ends = (len(value), *(i for i in range(len(value) - 1, 13, -1) if value[i] == " "))
    for end in ends:  # the group after an IBAN in fours may be a word in capitals
        if is_iban(value[:end].replace(" ", "")):
            yield Span(match.start(), match.start() + end, "iban", "IBAN", 0.97)
            return


def _companies(text: str, runs: Runs) -> Iterator[Span]:
    for start, end in runs:
        if end - start > 6:
            start -= is_word(text, start - 1)
            match = _COMPANY.match(text, start)
            if match and not is_word(text, start - 1) and is_company_code(match.group()):
                # Of numbers without letters one in 31 has the right check character.
                named = not match.group().isdigit() or says(_SAYS_COMPANY, text, match.start())
                yield Span(
                    *match.span(), "company_code", "unified social credit code", 0.95 if named else 0.4
                )


def _plates(text: str, runs: Runs) -> Iterator[Span]:
    for start, _ in runs:
        before = text[start - 1] if start else ""
        if not (before.isupper() or before in "·•" or (before in " .-" and text[start - 2].isupper())):
            continue
        first = next((i for i in range(start - 1, max(-1, start - 8), -1) if text[i] in _PROVINCES), -1)
        match = _PLATE.match(text, first) if first >= 0 else None
        if match and match.end() > start:
            yield Span(*match.span(), "licence_plate", "Chinese plate", 0.85)


def _passports(text: str, runs: Runs) -> Iterator[Span]:
    for start, end in runs:
        if end - start in (7, 8) and is_word(text, start - 1):
            first = start - (9 - (end - start))
            match = _CHINESE_PASSPORT.match(text, max(0, first))
            if match and not is_word(text, first - 1) and says(_SAYS_CHINESE_PASSPORT, text, first, 30):
                yield Span(*match.span(), "passport", "Chinese passport", 0.9)
    if "passport" in text or "Passport" in text or "PASSPORT" in text:
        for match in _PASSPORT.finditer(text):
            yield Span(*match.span(1), "passport", "passport after the word", 0.8)


def _driving(text: str, runs: Runs) -> Iterator[Span]:
    if "icense" in text or "icence" in text:
        for match in _DRIVING.finditer(text):
            if says(_SAYS_DRIVING, text, match.start(), 20):
                yield Span(*match.span(1), "driving_licence", "driving licence after the word", 0.8)
    for start, end in runs:
        if end - start == 6 and start > 4 and is_word(text, start - 1):
            card = _BRITISH_DRIVING.match(text, start - 5)
            if card and not is_word(text, start - 6):
                yield Span(*card.span(), "driving_licence", "British driving licence", 0.8)


def _postcodes(text: str, runs: Runs) -> Iterator[Span]:
    for start, end in runs:
        if end - start in (5, 6) and not is_word(text, end):
            if says(_SAYS_POSTCODE, text, start, 28):
                plus = _PLUS_FOUR.match(text, start)
                yield Span(start, plus.end() if plus else end, "postcode", "postcode after the word", 0.75)
            elif end - start == 5 and _is_after_state(text, start):
                plus = _PLUS_FOUR.match(text, start)
                yield Span(start, plus.end() if plus else end, "postcode", "US ZIP after a state", 0.7)
        elif end - start < 3 and is_word(text, start - 1):
            first = start - 2 if is_word(text, start - 2) else start - 1
            british = _UK_POSTCODE.match(text, first)
            if british and not is_word(text, first - 1):
                yield Span(*british.span(), "postcode", "British postcode", 0.6)


def _is_after_state(text: str, start: int) -> bool:
    return start > 4 and text.startswith(", ", start - 5) and text[start - 3 : start - 1] in _STATES


_FINDERS = {
    "iban": _ibans,
    "company_code": _companies,
    "licence_plate": _plates,
    "passport": _passports,
    "driving_licence": _driving,
    "postcode": _postcodes,
}
