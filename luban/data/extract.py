"""The main text of a page, without menus, advertisements and footers."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, replace

from luban.data.extras import load_extra
from luban.data.sources import is_html
from luban.records import Document, Drop

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
    # Without favor_recall, sentences around a <code> or a link in a <div> are cut.
    text = trafilatura.extract(html, fast=True, favor_recall=True, include_comments=False)
    return _SOURCE_INDENT.sub("", text) if text else None
