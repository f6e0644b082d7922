"""What a page says of itself: title, date, language, address and licence."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from luban.records import Document

_HEAD_CHARS = 100_000
_TAG_CHARS = 4_000
_HEAD_END = re.compile(r"</head\b", re.I)
_TAG = re.compile(r"<(meta|link|html)\b((?:[^<>\"']|\"[^\"]{0,4000}\"|'[^']{0,4000}')*)>", re.I)
_ATTRIBUTE = re.compile(
    r"(?<![a-zA-Z:_-])([a-zA-Z:_-]{1,100})\s{0,100}=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+))"
)
_TITLE = re.compile(r"<title\b[^<>]*>", re.I)
_JSON_DATE = re.compile(r"\"datePublished\"\s*:\s*\"([^\"]{4,40})\"")
_JSON_LICENCE = re.compile(r"\"license\"\s*:\s*\"(https?:[^\"]{4,200})\"")
_LICENCE_REL = re.compile(r"rel=[\"']?[^\"'>]{0,80}\blicen[sc]e\b")
_CC_LINK = re.compile(
    r"<a\b[^>]*href\s*=\s*[\"']?((?:https?:)?//creativecommons\.org/[^\s\"'>]+)[^>]*>", re.I
)
_CC_ADDRESS = re.compile(
    r"creativecommons\.org/(licenses|publicdomain)/([a-z+-]+)/(\d\.\d)(?:/([a-z]{2,3})\b(?!\.))?", re.I
)
_PICTURE = re.compile(r"<img|<figure|<figcaption|photo|image|foto|图片|照片|摄影|圖片|攝影", re.I)
_DATE = re.compile(r"(\d{4})[-/.年](\d{1,2})[-/.月](\d{1,2})日?(?:[T ]+(\d{1,2}):(\d{2})(?::(\d{2}))?(\S*))?")
_TITLES = ("og:title", "twitter:title", "dc.title", "dcterms.title")
_TIMES = (
    ("article:published_time", "og:published_time", "datepublished", "date", "pubdate", "publishdate")
    + ("publish-date", "dc.date", "dc.date.issued", "dcterms.created", "dcterms.date", "sailthru.date")
    + ("parsely-pub-date", "citation_publication_date", "weibo: article:create_at", "apub:time")
)
_LICENCES = ("dcterms.license", "dc.rights.license", "dcterms.rights", "dc.rights")


@dataclass(frozen=True, slots=True)
class PageFacts:
    """What a page says of itself; "" where it says nothing. `time` is ISO 8601."""

    title: str = ""
    time: str = ""
    language: str = ""
    url: str = ""
    licence: str = ""

    def add_to(self, document: Document) -> Document:
        """Return the document with what was not known of it; title, url and language go to `extra`."""
        said = {"title": self.title, "url": self.url, "page_language": self.language}
        return replace(
            document,
            time=document.time or self.time,
            licence=self.licence or document.licence if document.licence == "unknown" else document.licence,
            extra={k: v for k, v in said.items() if v} | dict(document.extra),
        )


def read_page_facts(page: str) -> PageFacts:
    """Read the head of a page, and its licence wherever it stands.

    read_page_facts('<html lang="en"><title>Tea</title>') -> PageFacts(title="Tea", language="en")
    """
    head = _HEAD_END.split(page[:_HEAD_CHARS], 1)[0]
    metas: dict[str, str] = {}
    language = url = time = ""
    for tag, values in _tags(head):
        if tag == "meta":
            name = (values.get("property") or values.get("name") or values.get("itemprop") or "").lower()
            metas.setdefault(name, values.get("content", "").strip())
        elif tag == "html":
            language = language or values.get("lang", values.get("xml:lang", ""))
        elif tag == "link" and "canonical" in values.get("rel", "").lower().split():
            url = url or values.get("href", "")
    published = _JSON_DATE.search(page)
    for said in (*(metas.get(name, "") for name in _TIMES), published[1] if published else ""):
        time = time or iso_time(said)
    return PageFacts(
        title=_first(metas, _TITLES) or _title(page[:_HEAD_CHARS]),
        time=time,
        language=language if re.fullmatch(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{1,8})*", language) else "",
        url=url if url.startswith(("http://", "https://")) else "",
        licence=_licence(page, metas),
    )


def iso_time(said: str) -> str:
    """Return a date as ISO 8601, with the time where one is given; "" for what is no date.

    iso_time("2019年6月15日 08:18") -> "2019-06-15T08:18:00"
    """
    match = _DATE.match(said.strip())
    if not match:
        return ""
    year, month, day, hour, minute, second, zone = match.groups()
    try:
        moment = datetime(int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0))
    except ValueError:
        return ""
    if hour is None:
        return moment.date().isoformat()
    zone = re.sub(r"^\.\d+", "", zone or "")
    zone = re.sub(r"^([+-]\d\d)(\d\d)$", r"\1:\2", zone)
    return moment.isoformat() + (zone if re.fullmatch(r"Z|[+-]\d\d:\d\d", zone) else "")


def licence_name(address: str) -> str:
    """Return the SPDX identifier of a Creative Commons address, and any other address as it is.

    licence_name("https://creativecommons.org/licenses/by-sa/4.0/") -> "CC-BY-SA-4.0"
    """
    match = _CC_ADDRESS.search(address)
    if not match:
        return address if address.startswith(("http://", "https://")) else ""
    where, name, number, country = match.groups()
    if where.lower() == "publicdomain":
        return {"zero": f"CC0-{number}", "mark": "CC-PDM-1.0"}.get(name.lower(), address)
    return "-".join(("CC", name.upper(), number, *([country.upper()] if country else [])))


def _tags(head: str) -> Iterator[tuple[str, dict[str, str]]]:
    for match in _TAG.finditer(head):
        yield match[1].lower(), _attributes(match[2])


def _attributes(tag: str) -> dict[str, str]:
    found = ((m[1].lower(), html.unescape(m[2] or m[3] or m[4] or "")) for m in _ATTRIBUTE.finditer(tag))
    return dict(found)


def _first(metas: dict[str, str], names: tuple[str, ...]) -> str:
    return next((" ".join(metas[name].split()) for name in names if metas.get(name)), "")


def _title(head: str) -> str:
    start = _TITLE.search(head)
    end = head.lower().find("</title", start.end()) if start else -1
    return " ".join(html.unescape(head[start.end() : end]).split()) if start and end > 0 else ""


def _licence(page: str, metas: dict[str, str]) -> str:
    """Return the licence named by rel=license, by meta data, or by the page's only CC link."""
    for match in _LICENCE_REL.finditer(page):
        start = page.rfind("<", max(match.start() - _TAG_CHARS, 0), match.start())
        end = page.find(">", match.end(), match.end() + _TAG_CHARS)
        if start >= 0 and end >= 0 and (name := licence_name(_attributes(page[start:end]).get("href", ""))):
            return name
    for said in (metas.get(name, "") for name in _LICENCES):
        if name := licence_name(said):
            return name
    stated = _JSON_LICENCE.search(page)
    if stated:
        return licence_name(stated[1])
    if "creativecommons.org/" not in page:
        return ""
    # A picture's licence is not the page's; two licences leave open which is the text's.
    names = set()
    for match in _CC_LINK.finditer(page):
        if not _PICTURE.search(page, max(match.start() - 200, 0), match.start()):
            names.add(licence_name(match[1]) if _CC_ADDRESS.search(match[1]) else "")
    return names.pop() if len(names) == 1 else ""
