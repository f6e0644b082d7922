"""The main text of a page, without menus, advertisements and footers."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, replace
from typing import Any

from luban.data.extras import load_extra
from luban.data.sources import is_html
from luban.records import Document, Drop

_SENTENCE_CHARS = 80
_INLINE = frozenset(
    ("a", "abbr", "b", "bdi", "bdo", "br", "cite", "code", "dfn", "em", "font", "i", "img", "kbd", "mark")
    + ("q", "s", "samp", "small", "span", "strike", "strong", "sub", "sup", "time", "tt", "u", "var", "wbr")
)
_SOURCE_INDENT = re.compile(r"^\t+", re.M)  # how the page's source was indented, not its text


@dataclass(frozen=True, slots=True)
class ExtractMainText:
    """Turn pages into their main text; other documents pass as they are."""

    name = "main text"

    def __call__(self, document: Document) -> Document | Drop:
        """Return the document with its main text, or a Drop if the page has none."""
        if not is_html(document.source):
            return document
        text = extract_main_text(document.text)
        if not text:
            return Drop("no main text", f"nothing but boilerplate in {len(document.text)} characters of html")
        return replace(document, text=text)


def extract_main_text(html: str) -> str | None:
    """Return the main text of a page, a paragraph a line; None where there is none.

    extract_main_text("<nav>Home</nav><p>A paragraph ...") -> "A paragraph ..."
    """
    trafilatura = load_extra("trafilatura")
    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)  # the drop says it better
    tree = load_extra("trafilatura.utils").load_html(html)
    if tree is None:
        return None
    _name_paragraphs(tree)
    text = trafilatura.extract(tree, fast=True, favor_recall=True, include_comments=False)
    return _SOURCE_INDENT.sub("", text) if text else None


def _name_paragraphs(tree: Any) -> None:
    """Make a <p> of every <div> that holds a sentence and nothing but inline elements.

    trafilatura breaks the lines of such paragraphs at every <code> and link.
    """
    for div in tree.iter("div"):
        own = (div.text or "").strip() + "".join((child.tail or "").strip() for child in div)
        if len(own) >= _SENTENCE_CHARS and all(element.tag in _INLINE for element in div.iterdescendants()):
            div.tag = "p"
