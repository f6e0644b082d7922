"""The pieces of a page, which of them are menus, and how the rest is written down as text."""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

MENU_LINKS = 2
"""So many pieces in a row that are links and nothing else make a menu."""
SHORT_BYTES = 60
"""A piece below it that ends no sentence is no text of its own: among the links below a text it goes."""
MAX_TRIMMED = 0.2
"""Share of a page's characters that may go at its end; where more would, its lines are just short."""

Kind = Literal["heading", "paragraph", "item", "row", "code", "quote"]
_LINK = re.compile(r"<a\s[^<>]{0,2000}>(.{1,400}?)</a", re.S | re.I)
_TAG = re.compile(r"<[^>]*>")
_SENTENCE_END = re.compile("[.!?。！？…;；:：][\"”」』’'）)\\]】》]*$")
_BACKTICKS = re.compile("`{3,}")


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a page. `level` is a heading's rank or an item's depth, `mark` its bullet or number.

    The cells of a row are parted by tabs.
    """

    kind: Kind
    text: str
    level: int = 1
    mark: str = "-"


def link_texts(page: str) -> set[str]:
    """Return what the links of a page say, without white space: menus and related articles are made of it."""
    found = (_TAG.sub("", text) if "<" in text else text for text in _LINK.findall(page))
    return {_bare(html.unescape(text) if "&" in text else text) for text in found} - {""}


def without_menus(blocks: Sequence[Block], links: Collection[str]) -> list[Block]:
    """Leave out menus, and what is left of a page's frame below its text."""
    bare = [_bare(block.text) for block in blocks]
    linked = [
        b.kind in ("item", "paragraph", "heading") and key in links
        for b, key in zip(blocks, bare, strict=True)
    ]
    gone = {
        i
        for start, end in _runs(linked)
        if end - start >= MENU_LINKS and not _within_list(blocks, start, end)
        for i in range(start, end)
    }
    most = MAX_TRIMMED * sum(map(len, bare))
    below = _frame(blocks, linked, gone)
    if sum(len(bare[i]) for i in below) <= most:
        gone.update(below)
    return [block for i, block in enumerate(blocks) if i not in gone]


def render(blocks: Sequence[Block], *, markdown: bool) -> str:
    """Write blocks as text, with a blank line between them but none between items or a table's rows.

    Plain text keeps bullets, and tabs between a table's cells; markdown marks headings and code too.
    """
    parts: list[str] = []
    for i, block in enumerate(blocks):
        before = blocks[i - 1].kind if i else None
        if parts:
            parts.append("\n" if block.kind == before and block.kind in ("item", "row") else "\n\n")
        parts.append(_as_markdown(block, before != "row") if markdown else _as_plain(block))
    return "".join(parts)


def _bare(text: str) -> str:
    return "".join(text.split())


def _runs(flags: Sequence[bool]) -> Iterator[tuple[int, int]]:
    start = None
    for i, flag in enumerate([*flags, False]):
        if flag and start is None:
            start = i
        elif not flag and start is not None:
            yield start, i
            start = None


def _within_list(blocks: Sequence[Block], start: int, end: int) -> bool:
    """Whether a run of links is part of a list whose other items are more than links: it is text."""
    before = start > 0 and blocks[start].kind == blocks[start - 1].kind == "item"
    return before or end < len(blocks) and blocks[end - 1].kind == blocks[end].kind == "item"


def _frame(blocks: Sequence[Block], linked: Sequence[bool], gone: set[int]) -> list[int]:
    """Return the links below a page's text, and the scraps between and below them.

    Scraps alone are kept: a caption, a signature and a price end no sentence either.
    """
    found: list[int] = []
    framed = 0
    for i in range(len(blocks) - 1, -1, -1):
        if i not in gone:
            if not linked[i] and not _is_scrap(blocks[i]) or linked[i] and _within_list(blocks, i, i + 1):
                break
            found.append(i)
        if i in gone or linked[i]:
            framed = len(found)
    return found[:framed]


def _is_scrap(block: Block) -> bool:
    if block.kind not in ("heading", "paragraph", "item"):
        return False
    return len(block.text.encode(errors="replace")) < SHORT_BYTES and not _SENTENCE_END.search(block.text)


def _as_plain(block: Block) -> str:
    if block.kind == "item":
        return _as_item(block)
    return block.text


def _as_markdown(block: Block, first_row: bool) -> str:
    if block.kind == "heading":
        return "#" * min(block.level, 6) + " " + " ".join(block.text.split())
    if block.kind == "item":
        return _as_item(block)
    if block.kind == "quote":
        return "> " + block.text.replace("\n", "\n> ")
    if block.kind == "code":
        fence = max(["```", *("`" + run for run in _BACKTICKS.findall(block.text))], key=len)
        return f"{fence}\n{block.text}\n{fence}"
    if block.kind == "row":
        cells = block.text.replace("|", "\\|").split("\t")
        row = "| " + " | ".join(cells) + " |"
        return f"{row}\n|{'---|' * len(cells)}" if first_row else row
    return block.text


def _as_item(block: Block) -> str:
    indent = "  " * (block.level - 1)
    return f"{indent}{block.mark} ".ljust(len(indent) + 2) + block.text.replace("\n", f"\n{indent}  ")
