"""Postal addresses, English and Chinese, from the house number outwards."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from luban.privacy.spans import Span, is_word, says

_STREET = (
    r"(?:Street|St|Avenue|Ave|Av|Road|Rd|Lane|Ln|Drive|Dr|Boulevard|Blvd|Court|Ct|Place|Pl|Terrace|Ter"
    r"|Way|Square|Sq"
    r"|Crescent|Cres|Close|Parkway|Pkwy|Highway|Hwy|Circle|Cir|Trail|Trl|Gardens|Grove|Mews|Row|Alley"
    r"|Crossroad"
    r"|Turnpike|Walk|Hill|Quay|Esplanade|Parade|Wharf|Vista|Plaza|Loop|Pike|Ridge|Manor|Heights|Meadows?"
    r"|View|Point)"
)
_NAME = r"(?:[0-9]{1,3}(?:st|nd|rd|th)\b|[A-ZÀ-Ý])[\w'’.-]{0,24}"
_UNIT = (
    r"(?:,?\s{1,3}(?:Apt|Apartment|Suite|Ste|Unit|Flat|Floor|Fl|Room|Rm"
    r"|No)\b\.? ?#?[0-9A-Z][0-9A-Za-z-]{0,6}|,? #[0-9]{1,5}[A-Z]?)"
)
_TOWN = (
    r"(?:,?\s{1,3}[A-ZÀ-Ý][\w'’.-]{1,24}(?: [A-ZÀ-Ý][\w'’.-]{1,24}){0,3},?"
    r"\s{1,3}[A-Z]{2}\.?,? [0-9]{5}(?:-[0-9]{4})?)"
)
_UK_TOWN = (
    r"(?:,?\s{1,3}[A-Z][\w'’-]{1,24}(?: [A-Z][\w'’-]{1,24}){0,2},?"
    r"\s{1,3}[A-Z]{1,2}[0-9][A-Z0-9]? [0-9][A-Z]{2})"
)
_ENGLISH = re.compile(
    rf"[0-9]{{1,6}}[A-Za-z]?(?:-[0-9]{{1,4}})?,? (?:{_NAME} ){{1,4}}{_STREET}\b\.?(?: [NSEW]{{1,2}}\b\.?)?"
    rf"{_UNIT}?(?:{_TOWN}|{_UK_TOWN})?"
)
_BOX = re.compile(
    r"(?:P\.? ?O\.? Box|Post Office Box|PO BOX|Postbox|PSC|Unit) [0-9]{1,6}(?:,? Box [0-9]{1,5})?"
    r"(?:\s{1,2}(?:APO|FPO|DPO) A[AEP] [0-9]{5})?"
)
_SHIP = re.compile(r"US(?:NV|NS|CGC|S) [A-Z][\w-]{1,24}\s{1,2}(?:APO|FPO|DPO) A[AEP] [0-9]{5}")
_ORDINAL = ("st", "nd", "rd", "th")
_SUFFIXES = tuple(
    "straße strasse straat str. gasse gata gatan vägen vej gade weg allee platz plein laan gracht katu "
    "tie utca".split()
)
_CONTINENTAL = re.compile(r"(?:[A-ZÀ-Ý][\w'’.-]{0,24} ){0,2}[A-ZÀ-Ý][\w'’.-]{0,30} \Z")
_ROMANCE = re.compile(
    r"(?:\b[0-9]{1,5},? )?\b(?:Rue|rue|Avenue|avenue|Via|Viale|Piazza|Calle|C/|Avda\.|Avenida|Rua|Plaza"
    r"|Paseo|Boulevard"
    r"|boulevard|ul\.|Ulica|Trg|Piazzetta|Chemin|chemin) (?:(?:de|du|des|de la|del|della|delle|dos|da|do"
    r"|la|le|les|l'|d')"
    r" ?){0,2}(?:[A-ZÀ-Ý0-9][\w'’.-]{0,24} ){1,4}\Z"
)
_SAYS_ADDRESS = re.compile(
    r"\b(?:address|lives?|living|resid(?:es?|ing|ence)|home|house|at|ship(?:ped)? to|deliver|mail|send"
    r"|return to|office|moved"
    r"|taxi|meet)\b|住址|地址|住在|家住|居住|寄|收货|户籍|现住|送到|搬到|送货|住所",
    re.I,
)
_HOUSE = re.compile(
    r"[路街道巷弄村里同段园苑坊区庄胡屯组号座街線线][东西南北中]?[0-9A-Z甲乙丙丁一二三四五六七八九十百零]{1,6}"
    r"(?:[-－][0-9]{1,5}){0,2}(?:号|號|弄|栋|幢|室)"
)
_NUMBER = "[0-9A-Z一二三四五六七八九十百零]{1,5}"
_BUILDING = (
    "小区|花园|大厦|公寓|家园|广场|苑|城|公馆|中心|宿舍|园|园区|酒店|宾馆|饭店|大楼|楼|国际|学院|大学|医院|商场|厂|府|邸|庭|轩|阁"
    "|居|湾"
)
_UNITS = "号楼|号院|号|栋|幢|座|塔|单元|楼|层|室|房|户|弄|组"
_MORE = r"(?:[-－][0-9]{1,5}){0,3}"
_NO_ROOM = "(?![0-9A-Za-z年月日时个名万元人位米路])"
_TAIL = re.compile(
    rf"(?: ?(?:院|内|大院|之)?{_NUMBER}{_MORE}(?:{_UNITS})(?:之[0-9]{{1,3}})?"
    rf"|[\u4e00-\u9fff]{{1,12}}(?:{_BUILDING})(?={_NUMBER}{_MORE}(?:{_UNITS})|[0-9]{{2,5}}{_NO_ROOM})"
    rf"|(?<=[楼座栋幢元塔层阁居轩苑])[-－ ]?[0-9]{{2,5}}[A-Z]?{_NO_ROOM})*"
)
_HAN_RUN = re.compile(r"[\u4e00-\u9fff0-9·]*\Z")
_PROVINCE = re.compile(
    "(?:北京|天津|上海|重庆|河北|山西|辽宁|吉林|黑龙江|江苏|浙江|安徽|福建|江西|山东|河南|湖北|湖南|广东|海南|四川|贵州|云南"
    "|陕西|甘肃|青海|台湾|内蒙古|广西|西藏|宁夏|新疆|香港|澳门)"
    "(?:省|市|壮族|回族|维吾尔|自治区|特别行政区)"
)
_LEAD = re.compile(
    r".*(?:住在|家住|现住|位于|地址[是为]?|寄[到往至]|送[到往至]|搬[到去至]|来自|户籍|居住[在于]?|就在|是|在|到|于|往|至|去|住)"
)
_DISTRICT = re.compile(r"[\u4e00-\u9fff]{1,8}(?:区|县|旗|市|镇|乡)")


def find_addresses(text: str, runs: Sequence[tuple[int, int]], has_han: bool) -> Iterator[Span]:
    """Yield street addresses and post boxes; `runs` are the text's digits."""
    done = 0
    for start, end in runs:
        if end - start < 7:
            space = text.find(" ", end, end + 8)
            if space > 0 and (
                text[space + 1 : space + 2].isupper() or text[space + 3 : space + 5] in _ORDINAL
            ):
                yield from _english(text, start)
            if start and text[start - 1] == " " and end - start < 6 and not is_word(text, end):
                for span in _continental(text, start, end, done):
                    done = span.end
                    yield span
    if " Box " in text or "BOX" in text or "Postbox" in text or "PSC " in text:
        for match in _BOX.finditer(text):
            if not match.group().startswith("Unit") or "Box" in match.group():
                yield Span(*match.span(), "address", "post box", 0.75)
    if "PO A" in text:
        for match in _SHIP.finditer(text):
            yield Span(*match.span(), "address", "ship", 0.8)
    if has_han:
        yield from _chinese(text)


def _english(text: str, start: int) -> Iterator[Span]:
    match = _ENGLISH.match(text, start)
    if match is None or (start and (text[start - 1] in "$.,-/" or is_word(text, start - 1))):
        return
    if not _is_year_of(match.group()):
        named = says(_SAYS_ADDRESS, text, start)
        yield Span(*match.span(), "address", "house number and street", 0.8 if named else 0.6)


def _continental(text: str, start: int, end: int, done: int) -> Iterator[Span]:
    before = max(done, start - 64)
    is_year = end - start == 4 and text[start] in "12"
    if text.endswith(_SUFFIXES, before, start - 1):
        match, sure = _CONTINENTAL.search(text, before, start), 0.6
    elif not is_year and text[text.rfind(" ", before, start - 1) + 1].isupper():
        match, sure = _ROMANCE.search(text, before, start), 0.45
    else:
        return
    if match:
        sure += 0.1 * says(_SAYS_ADDRESS, text, match.start())
        yield Span(match.start(), end, "address", "street and house number", sure)


def _is_year_of(value: str) -> bool:
    """Whether "1905 Nobel Place" is more likely a year than a house: four digits of a recent century."""
    number = value.split(" ", 1)[0].rstrip(",")
    return (
        len(number) == 4
        and number[:2] in ("17", "18", "19", "20")
        and "\n" not in value
        and "," not in value[5:]
    )


def _chinese(text: str) -> Iterator[Span]:
    end = 0
    for match in _HOUSE.finditer(text):
        if match.start() < end:
            continue
        run = _HAN_RUN.search(text, max(end, match.start() - 40), match.start() + 1)
        start = _chinese_start(text, run.start() if run else match.start(), match.start() + 1)
        tail = _TAIL.match(text, match.end())
        stop = tail.end() if tail else match.end()
        if match.start() - start < 1:
            continue
        place = text[start : match.start() + 1]
        whole = bool(_PROVINCE.match(place) or _DISTRICT.search(place[:-1]))
        inner = stop > match.end() or text[stop - 1] in "室楼栋幢弄"
        sure = 0.5 + 0.2 * whole + 0.1 * inner if whole or inner else 0.4
        if says(_SAYS_ADDRESS, text, start, 12):
            sure += 0.2
        end = stop
        yield Span(start, stop, "address", "Chinese address", min(0.95, sure))


def _chinese_start(text: str, start: int, end: int) -> int:
    """Return where the address begins in a run of Chinese characters: at a province, or after a verb."""
    run = text[start:end]
    province = _PROVINCE.search(run)
    if province:
        return start + province.start()
    lead = _LEAD.match(run[:-1])
    return start + lead.end() if lead and lead.end() < len(run) - 1 else start
