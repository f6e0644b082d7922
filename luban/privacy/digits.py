"""Numbers that name a person: telephones, bank cards, ID cards, social security numbers.

Each rule looks only into stretches of digits, so that a text without numbers costs one search.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from luban.privacy.checks import (
    is_id_card,
    is_issued_card,
    is_maestro,
    is_old_id_card,
    is_ssn,
    passes_luhn,
)
from luban.privacy.spans import Span, says

_GAP = frozenset(" .()（）/-\u00a0\u202f\u2002\u2003\u2007\u2009\u2010\u2011\u2012\u2013\u2014")
_NOT_DIGIT = re.compile("[^0-9]+")

_SAYS_PHONE = re.compile(
    r"\b(?:tel|te?le?phone|phone|mobile|cell|cell ?phone|fax|call(?:s|ed|ing)?|dial|ring|sms|whats ?app"
    r"|wechat"
    r"|reach|hotline|helpline|messages? to|answer(?:s|ed|ing)? at|text(?:ed)? (?:me|us|him|her|them)?|contact"
    r"|(?:my|his|her|their|our|your|home|work|office|emergency) numbers?|number is|new number|voicemail"
    r"|landline"
    r"|ph|mob|handy|telefon|t[eé]l)\b"
    r"|电话|手机|联系|致电|拨打|拨|传真|热线|来电|联络|座机|固话|短信|微信|号码(?:是|为|[:：])",
    re.I,
)
_SAYS_OTHER = re.compile(
    r"(?:\b(?:order|isbn|issn|invoice|serial|tracking|version|doi|patent|item|model|part|sku"
    r"|ref(?:erence)?|ticket|case"
    r"|licen[cs]e|passport|security|policy|member|card|account|batch|arxiv|pmid|oclc|iso|rfc|grant|barcode|id)\b|订单|单号|编号|流水|快递|运单|股票|序列|票号|工号|学号"
    r"|案号|批号|条码|专利|货号|型号|准考证|账号|卡号)[^0-9,，。;；\n]{0,14}\Z|[$€£¥￥#]\s?\Z|ISBN[^\n]{0,12}\Z",
    re.I,
)
_SAYS_CARD = re.compile(
    r"\b(?:cards?|cc|visa|master ?card|amex|credit|debit|maestro|pan)\b"
    r"|银行卡|信用卡|储蓄卡|借记卡|卡号|账号|账户|开户|卡片|尾号",
    re.I,
)
_SAYS_ID = re.compile(r"身[份分]证|证件|公民身份|\bID\b|identity|identification", re.I)
_SAYS_SSN = re.compile(r"\bssn\b|\bsocial(?: security)?\b|\bss ?#|社会安全", re.I)
_DATE = re.compile(
    r"(?:1[89]|20)[0-9]{2}([-/. ])[0-9]{1,2}\1[0-9]{1,2}|[0-9]{1,2}([-/.])[0-9]{1,2}\2(?:1[89]|20)?[0-9]{2}\Z"
    r"|(?:1[5-9]|20)[0-9]{2} ?[-\u2010-\u2014/] ?(?:1[5-9]|20)[0-9]{2}\b"
)
_DOTTED = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3,}\Z|[0-9]+\.[0-9]+\Z")

_ID = re.compile(
    r"(?<![0-9A-Za-z])[1-9][0-9]{5}([ -]?)(?:18|19|20)[0-9]{6}\1[0-9]{3}[ -]?[0-9Xx](?![0-9A-Za-z])"
)
_OLD_ID = re.compile(r"(?<![0-9A-Za-z])[1-9][0-9]{14}(?![0-9A-Za-z])")
_CARD = re.compile(r"(?<![0-9A-Za-z.+])[0-9](?:[ \u00a0-]?[0-9]){11,18}(?![0-9A-Za-z]|[ -]?[0-9])")
_SSN = re.compile(r"(?<![0-9A-Za-z-])[0-9]{3}([- ]?)[0-9]{2}\1[0-9]{4}(?![0-9A-Za-z-])")

_EDGE, _STOP = r"(?<![0-9A-Za-z.,+:_=/-])", r"(?![0-9A-Za-z_%]|[.,:/-][0-9])"
_EXTENSION = r"(?:[,;]? ?(?:x|ext(?:ension|n)?[.:]{0,2}|#|转|分机) ?[0-9]{1,6}(?![0-9A-Za-z]))?"
_ABROAD = r"[0-9]{0,3}(?:[ .()/\u00a0\u2010-\u2014-]{0,3}[0-9]){6,12}" + _EXTENSION + _STOP
_PHONES: tuple[tuple[str, float, re.Pattern[str]], ...] = tuple(
    (rule, sure, re.compile(shape))
    for rule, sure, shape in (
        ("international", 0.9, r"(?<![0-9A-Za-z])\+[1-9]" + _ABROAD),
        ("international, 00", 0.4, r"(?<![0-9A-Za-z])00[1-9]" + _ABROAD),
        ("Chinese mobile", 0.75, r"(?<![0-9A-Za-z.])(?:\(?(?:\+|00)?86\)?[ -]?)?1[3-9][0-9](?:[0-9]{8}"
            r"|([ .-])[0-9]{4}\1[0-9]{4}|[ -][0-9]{8}|[0-9]{4}[ -][0-9]{4})(?![0-9A-Za-z]|\.[0-9])"),
        ("Chinese landline", 0.75, r"(?<![0-9A-Za-z.])(?:\(?(?:\+|00)?86\)?[ -]?)?(?:[(（]0(?:10|2[0-9]"
            r"|[3-9][0-9]{2})[)）] ?|0(?:10|2[0-9]|[3-9][0-9]{2})[- ])[2-8][0-9]{2,3}[- ]?[0-9]{4}"
            r"(?:-[0-9]{1,6})?" + _EXTENSION + r"(?![0-9A-Za-z])"),
        ("Taiwan mobile", 0.6, _EDGE + r"09[0-9]{2}([ -])[0-9]{3}\1[0-9]{3}" + _STOP),
        ("Taiwan landline", 0.6, _EDGE + r"(?:[(（]0[2-8][)）] ?|0[2-8]-)[2-9][0-9]{2,3}-[0-9]{4}"
            + _EXTENSION + _STOP),
        ("Chinese service", 0.7, r"(?<![0-9A-Za-z.-])(?:400"
            r"|800)([- ])[0-9]{3,4}\1[0-9]{3,4}(?![0-9A-Za-z-])"),
        ("North American", 0.75, r"(?<![0-9A-Za-z.+$-])(?:1[ .-])?(?:\([2-9][0-9]{2}\) ?"
            r"|[2-9][0-9]{2}([-.\u2010-\u2014]))[2-9][0-9]{2}[-.\u2010-\u2014 ][0-9]{4}"
            + _EXTENSION + r"(?![0-9A-Za-z-]|\.[0-9])"),
        ("British", 0.7, _EDGE + r"\(?0(?:7[0-9]{3}\)? [0-9]{6}|7[0-9]{3}\)? [0-9]{3} [0-9]{3}"
            r"|2[0-9]\)? [0-9]{4} [0-9]{4}|1[0-9]{3}\)? [0-9]{6}|1[0-9]{2}\)? [0-9]{3} [0-9]{4}"
            r"|8[04][0-9]{1,2}\)? [0-9]{3} [0-9]{3,4})" + _EXTENSION + _STOP),
        ("five pairs", 0.7, _EDGE + r"0[1-9](?:([ .-])[0-9]{2})(?:\1[0-9]{2}){3}" + _EXTENSION + _STOP),
        ("German", 0.65, _EDGE + r"(?:\(0[1-9][0-9]{1,4}\) ?|0[1-9][0-9]{1,4}(?:/| / "
            r"| - ))[0-9](?:[ -]?[0-9]){4,8}" + _EXTENSION + _STOP),
    )
)  # fmt: skip
_COUNTED = re.compile(
    r" ?(?:[万亿]|[美日欧]?元|人次|人口|人(?![\u4e00-\u9fff])|次(?![日年月])|[页吨株桶](?![\u4e00-\u9fff])"
    r"|公[里斤顷]|千[瓦米克]|立方|平方"
    r"|字节|比特|%|(?:USD|RMB|CNY|EUR|dollars|bytes|people|years|pages|tons)\b)"
)
ANY = "number after a word"
_ANY_PHONE = re.compile(
    r"(?<![0-9A-Za-z])\+?\(?[0-9](?:[ .()/\u00a0\u2010-\u2014-]{0,2}[0-9]){6,14}"
    + _EXTENSION
    + r"(?![0-9A-Za-z])"
)


def find_numbers(text: str, runs: Sequence[tuple[int, int]], types: frozenset[str]) -> Iterator[Span]:
    """Yield telephone, bank card, ID card and social security numbers, those of the `types`.

    `runs` are the text's digits.
    """
    for start, end, n in _stretches(text, runs):
        if n >= 15 and "id_card" in types:
            yield from _id_cards(text, start, end + 1)
        if n >= 12 and "bank_card" in types:
            yield from _cards(text, start, end + 1)
        if n >= 9 and "ssn" in types:
            yield from _ssns(text, start, end + 1)
        if n >= 7 and "phone" in types:
            yield from _phones(text, start, end)


def _stretches(text: str, runs: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int, int]]:
    """Yield start, end and number of digits of runs that only spaces, hyphens, dots and brackets part."""
    first, last, n = 0, -9, 0
    for start, end in runs:
        if start - last < 4 and _GAP.issuperset(text[last:start]):
            n += end - start
        else:
            if n > 6:
                yield first, last, n
            first, n = start, end - start
        last = end
    if n > 6:
        yield first, last, n


def _id_cards(text: str, start: int, end: int) -> Iterator[Span]:
    for match in _ID.finditer(text, start, end):
        if is_id_card(match.group().replace(" ", "").replace("-", "")):
            yield Span(*match.span(), "id_card", "Chinese ID, 18 characters", 0.97)
    for match in _OLD_ID.finditer(text, start, end):
        if is_old_id_card(match.group()):
            named = says(_SAYS_ID, text, match.start()) or _SAYS_ID.search(text, match.end(), match.end() + 6)
            sure = 0.85 if named else 0.3
            yield Span(*match.span(), "id_card", "Chinese ID, 15 digits", sure)


def _cards(text: str, start: int, end: int) -> Iterator[Span]:
    for match in _CARD.finditer(text, start, end + 1):
        digits = _NOT_DIGIT.sub("", match.group())
        if not passes_luhn(digits) or len(set(digits)) < 2:
            continue
        named = says(_SAYS_CARD, text, match.start())
        if named and (is_issued_card(digits) or is_maestro(digits) or len(digits) >= 13):
            yield Span(*match.span(), "bank_card", "bank card", 0.95)
        elif is_issued_card(digits) and not says(_SAYS_OTHER, text, match.start()):
            grouped = len(digits) != len(match.group())
            yield Span(*match.span(), "bank_card", "bank card", 0.85 if grouped else 0.7)


def _ssns(text: str, start: int, end: int) -> Iterator[Span]:
    for match in _SSN.finditer(text, start, end + 1):
        if is_ssn(_NOT_DIGIT.sub("", match.group())):
            if says(_SAYS_SSN, text, match.start()):
                yield Span(*match.span(), "ssn", "US social security", 0.95)
            elif match.group(1) == "-" and not says(_SAYS_OTHER, text, match.start()):
                yield Span(*match.span(), "ssn", "US social security", 0.7)


def _phones(text: str, start: int, end: int) -> Iterator[Span]:
    start = _widened(text, start)
    reach = min(len(text), end + 20)
    for rule, sure, shape in _PHONES:
        for match in shape.finditer(text, start, reach):
            if match.start() >= end:
                break
            yield from _judged(text, match, rule, sure)
    if says(_SAYS_PHONE, text, start):
        for match in _ANY_PHONE.finditer(text, start, reach):
            if match.start() >= end:
                break
            if not _DATE.match(match.group()) and not _DOTTED.match(match.group()):
                yield from _judged(text, match, ANY, 0.6)


def _widened(text: str, start: int) -> int:
    """Return where an opening bracket or a plus before the digits stands."""
    while start > 0 and text[start - 1] in "(（+":
        start -= 1
    return start


def _judged(text: str, match: re.Match[str], rule: str, sure: float) -> Iterator[Span]:
    start, end = match.span()
    if text[start] in "(（" and not any(c in ")）" for c in match.group()):
        start += 1
    is_other = rule != "international" and says(_SAYS_OTHER, text, start, 24)
    if says(_SAYS_PHONE, text, start) and not (is_other and rule == ANY):
        sure = min(0.95, sure + 0.2)
    elif is_other or rule == "Chinese mobile" and _is_amount(text, start, end):
        sure = 0.3
    yield Span(start, end, "phone", rule, sure)


def _is_amount(text: str, start: int, end: int) -> bool:
    """Whether digits in one piece are money, people, bytes, a page, or less than zero."""
    if not text[start:end].isdigit():
        return False
    before = text[max(0, start - 2) : start]
    if before.endswith(("第", "\u2212")) or before == "-" or before in (" -", "(-", "=-", "\n-"):
        return True
    return _COUNTED.match(text, end) is not None
