"""What a page says about itself: its charset, its links, its canonical address, its wishes to robots."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

HTML = ("text/html", "application/xhtml+xml")
_TAGS = ("a", "area", "base", "iframe", "frame", "link", "meta")
_NO_CHARSETS = ("undefined", "idna", "punycode", "unicode-escape", "raw-unicode-escape", "charmap", "utf-7")
"""Python's codecs for other ends than pages; and utf-7, which the Encoding Standard forbids (section 4.2)."""
_OTHER_TAGS = re.compile(rb"</?(?!(?:%s)[\s/>])[a-z][^<>]*>" % "|".join(_TAGS).encode(), re.I)
_ASCII = re.compile(rb"[\x00-\x7f]*").fullmatch


@dataclass(frozen=True, slots=True)
class Page:
    """What the crawl needs to know of an HTML page."""

    charset: str
    base: str
    links: tuple[str, ...]
    canonical: str
    noindex: bool
    nofollow: bool


_WITH_VALUE = ("unavailable_after", "max-snippet", "max-image-preview", "max-video-preview")
"""Wishes that hold a colon themselves."""


def charset_of(body: bytes, content_type: str) -> str:
    """Return the page's encoding: byte order mark, header, declaration in the page, then what decodes."""
    from w3lib.encoding import html_body_declared_encoding, http_content_type_encoding, read_bom

    bom, _ = read_bom(body)
    for named in (bom, http_content_type_encoding(content_type), html_body_declared_encoding(body)):
        if named and _is_charset(str(named)):
            return str(named)
    if _ASCII(body):
        return "ascii"
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return ""
    return "utf-8"


@cache
def _is_charset(name: str) -> bool:
    """Whether Python can decode text in this encoding, whatever the bytes are."""
    try:
        codec = codecs.lookup(name)
    except (LookupError, ValueError):
        return False
    return getattr(codec, "_is_text_encoding", True) and codec.name not in _NO_CHARSETS


def read_page(
    body: bytes, url: str, content_type: str, wishes: str, *, obey_nofollow: bool, agent: str = "luban"
) -> Page:
    """Read an HTML page; `wishes` is its X-Robots-Tag header. Links are as written, in order.

    What the page asks of other robots than `agent` does not count.
    """
    from lxml import etree

    charset = charset_of(body, content_type)
    text, parser = _as_utf8(body, charset), _parser()
    tree = etree.fromstring(text, parser)
    if any(error.type_name == "ERR_RESOURCE_LIMIT" for error in parser.error_log):  # nested too deep
        tree = etree.fromstring(_OTHER_TAGS.sub(b"", text) or b" ", _parser())
    words = directives(wishes, agent)
    base, canonical, links = "", "", dict[str, None]()
    for element in tree.iter(*_TAGS) if tree is not None else ():
        tag, get = element.tag, element.get
        if tag == "a" or tag == "area":
            if (href := get("href")) and not (obey_nofollow and _says(get("rel"), "nofollow")):
                links[href] = None
        elif tag == "iframe" or tag == "frame":
            if src := get("src"):
                links[src] = None
        elif tag == "base":
            base = base or get("href") or ""  # the first counts
        elif tag == "link":
            canonical = canonical or (get("href") or "" if _says(get("rel"), "canonical") else "")
        elif (get("name") or "").lower() in ("robots", agent.lower()):
            words |= directives(get("content") or "", agent)
        elif (get("http-equiv") or "").lower() == "refresh":
            links |= dict.fromkeys(_refresh(get("content") or ""))
    return Page(
        charset,
        base or url,
        tuple(links),
        canonical,
        bool(words & {"noindex", "none"}),
        bool(words & {"nofollow", "none"}),
    )


def directives(said: str, agent: str) -> set[str]:
    """Return the wishes in a robots meta tag or an X-Robots-Tag header that are meant for this agent.

    directives("otherbot: noindex, nofollow, luban: none", "Luban") -> {"none"}
    """
    found, is_meant = set(), True
    for word in said.lower().split(","):
        name, colon, rest = word.partition(":")
        if colon and name.strip() not in _WITH_VALUE:  # a robot's name, for what follows
            is_meant, word = name.strip() == agent.lower(), rest
        if is_meant:
            found.add(word.strip())
    return found


def _says(rel: str | None, word: str) -> bool:
    return rel is not None and word in rel.lower().split()


def _refresh(content: str) -> list[str]:
    found = re.search(r"url\s*=\s*['\"]?\s*([^'\"\s]+)", content, re.I)
    return [found[1]] if found else []


def _as_utf8(body: bytes, charset: str) -> bytes:
    if charset in ("utf-8", "ascii"):
        return body or b" "
    return body.decode(charset or "cp1252", errors="replace").encode("utf-8", "replace") or b" "


def _parser() -> Any:
    from lxml import etree

    return etree.HTMLParser(
        encoding="utf-8", remove_comments=True, remove_pis=True, no_network=True, huge_tree=True
    )
