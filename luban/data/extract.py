"""The main text of a page, without menus, advertisements and footers."""

from __future__ import annotations

import html as html_module
import logging
import re
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, Literal

from luban.data.blocks import Block, link_texts, render, without_menus
from luban.data.extras import load_extra
from luban.data.page_facts import read_page_facts
from luban.data.sources import is_page
from luban.records import Document, Drop

Extractor = Literal["precise", "bulk"]
PRECISE_CHARS = 1_500_000
"""A longer page takes the precise extractor seconds to minutes: the bulk one reads it."""
FEW_BYTES = 300
"""Where the bulk extractor finds less in a page of more than `MANY_CHARS`, the precise one looks too."""
MANY_CHARS = 5_000
PRECISE_DEPTH = 250
"""libxml2 reads no deeper, and says nothing."""
MAX_DEPTH = 4000
"""Deeper nesting is a trap: parsers take time that grows with its square."""
MAX_ATTRIBUTES = 4000
"""More on one tag are a trap: parsers compare each with all before it."""
LEAST_SHARE = 0.2
"""Where less of the text of a page's paragraphs comes out, trafilatura has taken a teaser for the article."""

_ATTEMPTS: tuple[dict[str, bool], ...] = (
    {"fast": True},
    {"fast": True, "favor_recall": True},
    {"fast": False},  # compares with readability and jusText: half the speed
)

_SENTENCE_CHARS = 80
_INLINE = frozenset(
    ("a", "abbr", "b", "bdi", "bdo", "br", "cite", "code", "dfn", "em", "font", "i", "img", "kbd", "mark")
    + ("q", "s", "samp", "small", "span", "strike", "strong", "sub", "sup", "time", "tt", "u", "var", "wbr")
)
_WIDE = "[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]"
_WIDE_BREAK = re.compile(rf"\n(?<={_WIDE}\n)[ \t]*(?={_WIDE})")
_NESTING = re.compile(
    "<(/?)(?:div|span|ul|ol|table|section|article|blockquote|center|font|b|i|em|strong)[\\s>]", re.I
)
_LONG_TAG = re.compile(rf"<[a-zA-Z][^>]{{{2 * MAX_ATTRIBUTES},}}")  # an attribute takes two characters
_QUOTED = re.compile("\"[^\"]*\"|'[^']*'")
_SPACES = re.compile(r"[^\S\n]+")
_AROUND_BREAKS = re.compile(r" ?\n ?")
_HIDDEN_ARTICLE = re.compile(r"(<[^>]*id=\"js_content\"[^>]*?)visibility:\s*hidden;?")
_BULK_TAG = re.compile(r"<(/?(?:h[1-6]|p|ul|ol|li|pre)|br)>")


@dataclass(frozen=True, slots=True)
class ExtractMainText:
    """Turn pages into their main text and note what they say of themselves; other documents pass."""

    extractor: Extractor = "precise"
    markdown: bool = False
    max_chars: int = 10_000_000

    name = "main text"

    def __call__(self, document: Document) -> Document | Drop:
        """Return the document with its main text, or a Drop if the page has none."""
        if not is_page(document):
            return document
        size = len(document.text)
        if size > self.max_chars:
            return Drop("page too large", f"{size} characters of html, at most {self.max_chars} are read")
        if is_nested_deeper(document.text, MAX_DEPTH):
            return Drop("page nested too deeply", f"elements stand more than {MAX_DEPTH} deep in each other")
        if has_tag_with_more_attributes(document.text, MAX_ATTRIBUTES):
            return Drop("too many attributes", f"a tag has more than {MAX_ATTRIBUTES} of them")
        bulk = (
            self.extractor == "bulk" or size > PRECISE_CHARS or is_nested_deeper(document.text, PRECISE_DEPTH)
        )
        text = (extract_bulk if bulk else extract_main_text)(document.text, markdown=self.markdown)
        if not text:
            return Drop("no main text", f"nothing but boilerplate in {size} characters of html")
        read = read_page_facts(document.text).add_to(document)
        extra = {name: value for name, value in read.extra.items() if name != "format"}
        return replace(read, text=text, extra=extra)


def extract_main_text(html: str, *, markdown: bool = False) -> str | None:
    """Return the main text of a page, blocks parted by blank lines; None where there is none.

    extract_main_text("<nav>Home</nav><p>A paragraph ...") -> "A paragraph ..."
    """
    return _text_of(_precise_blocks(html, markdown), html, markdown)


def extract_bulk(html: str, *, markdown: bool = False) -> str | None:
    """Return the main text of a page several times faster than `extract_main_text`, with more scraps.

    Pages in which it finds next to nothing are read by the precise extractor.
    """
    text = _text_of(_bulk_blocks(html), html, markdown)
    few = len((text or "").encode(errors="replace")) < FEW_BYTES
    if few and MANY_CHARS < len(html) <= PRECISE_CHARS:
        return extract_main_text(html, markdown=markdown) or text
    return text


def is_nested_deeper(html: str, limit: int) -> bool:
    """Whether elements that must be closed stand deeper in each other than the limit."""
    if html.count("<") <= limit:
        return False
    depth = 0
    for tag in _NESTING.finditer(html):
        depth = max(depth - 1, 0) if tag[1] else depth + 1
        if depth > limit:
            return True
    return False


def has_tag_with_more_attributes(html: str, limit: int) -> bool:
    """Whether a tag carries more attributes than the limit, which is at least `MAX_ATTRIBUTES`."""
    return any(len(_QUOTED.sub('"" ', tag[0]).split()) > limit + 1 for tag in _LONG_TAG.finditer(html))


def _text_of(blocks: list[Block], html: str, markdown: bool) -> str | None:
    return render(without_menus(blocks, link_texts(html)), markdown=markdown) or None


def _precise_blocks(html: str, markdown: bool) -> list[Block]:
    trafilatura = load_extra("trafilatura")
    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)  # the drop says it better
    tree = load_extra("trafilatura.utils").load_html(_prepared(html))
    if tree is None:
        return []
    _name_paragraphs(tree)
    _free_code(tree)
    best: list[Block] = []
    least = LEAST_SHARE * sum(len(text.strip()) for p in tree.iter("p") for text in p.itertext())
    for options in _ATTEMPTS:
        page = trafilatura.bare_extraction(
            copy(tree), include_comments=False, include_formatting=markdown, **options
        )
        if page is None or page.body is None:
            continue
        reader = _Reader(markdown)
        reader.read(page.body)
        best = reader.blocks
        if sum(len(block.text) for block in best) >= least:
            break
    return best


def _prepared(html: str) -> str:
    if 'id="js_content"' in html:
        html = _HIDDEN_ARTICLE.sub(r"\1", html)  # WeChat hides its articles until a script shows them
    if "<pre" in html or not ("。" in html or "，" in html):
        return html
    # A line's end is a space, but not between Chinese characters.
    return _WIDE_BREAK.sub("", html.replace("\r\n", "\n"))


def _name_paragraphs(tree: Any) -> None:
    """Make a <p> of every <div> that holds a sentence and nothing but inline elements.

    trafilatura breaks the lines of such paragraphs at every <code> and link. But it drops loose text
    beside a <p>: a <div> stays one where its neighbours do.
    """
    sentences = [div for div in tree.iter("div") if _is_sentence(div)]
    known = set(sentences)
    mixed = {  # parents with text in other <div>s
        parent
        for parent in {div.getparent() for div in sentences} - {None}
        if any(e.tag == "div" and e not in known and not _is_blank(e) for e in parent)
    }
    for div in sentences:
        if div.getparent() not in mixed:
            div.tag = "p"


def _is_sentence(div: Any) -> bool:
    own = (div.text or "").strip() + "".join((child.tail or "").strip() for child in div)
    return len(own) >= _SENTENCE_CHARS and all(element.tag in _INLINE for element in div.iterdescendants())


def _is_blank(element: Any) -> bool:
    return not any(text.strip() for text in element.itertext())


def _free_code(tree: Any) -> None:
    """Make every <pre> a single <span>, which trafilatura takes for code and leaves as it is.

    Tables that only put line numbers beside code give way to the code.
    """
    for pre in list(tree.iter("pre")):
        for line_break in pre.iter("br"):
            line_break.text = "\n"
        text, tail = "".join(pre.itertext()), pre.tail
        cell = next((e for e in pre.iterancestors() if e.tag in ("td", "p", "article")), None)
        pre.clear()
        pre.tail = tail
        if cell is not None and cell.tag == "td" and not text.strip("0123456789 \t\r\n"):
            continue  # line numbers
        span = pre.makeelement("span", {})
        span.text = text
        pre.append(span)
        table = next(pre.iterancestors("table"), None) if cell is not None and cell.tag == "td" else None
        if table is not None and table.getparent() is not None:
            table.addprevious(pre)
            pre.tail = None
            if not "".join(table.itertext()).strip("0123456789 \t\r\n"):
                table.getparent().remove(table)


_LOOSE = Block("paragraph", "")


class _Reader:
    """Turns trafilatura's tree, which knows a dozen elements, into blocks."""

    def __init__(self, markdown: bool) -> None:
        self.blocks: list[Block] = []
        self._marks = {"#b": "**", "#i": "*"} if markdown else {}
        self._code = "`" if markdown else ""
        self._parts: list[str] = []

    def read(self, element: Any, like: Block = Block("paragraph", "")) -> None:
        """Append the blocks inside an element; loose text becomes blocks like the given one."""
        self._add(element.text)
        for child in element:
            if child.tag == "lb":
                self._parts.append("\n")
            elif child.tag in ("hi", "ref", "del") or child.tag == "code" and not _is_block(child):
                mark = self._code if child.tag == "code" else self._marks.get(child.get("rend"), "")
                inner = " ".join("".join(child.itertext()).split())
                self._parts.append(f"{mark}{inner}{mark}" if inner else "")
            elif child.tag != "graphic":
                self._flush(like)
                self._read_block(child, like)
                like = replace(like, mark="") if like.kind == "item" and self.blocks else like
            self._add(child.tail)
        self._flush(like)

    def _read_block(self, element: Any, like: Block) -> None:
        if element.tag == "head":
            rank = (element.get("rend") or "h2")[1:]
            self.read(element, Block("heading", "", int(rank) if rank.isdigit() else 2))
        elif element.tag == "list":
            self._read_list(element, like)
        elif element.tag == "table":
            self._read_table(element)
        elif element.tag == "code":
            self._append(Block("code", "".join(element.itertext()).strip("\n")))
        elif element.tag == "quote":
            self.read(element, Block("quote", ""))
        else:
            self.read(element, like)

    def _read_list(self, element: Any, like: Block) -> None:
        level = like.level + 1 if like.kind == "item" else 1
        numbered = element.get("rend") == "ol"
        for n, item in enumerate(element, 1):
            self.read(item, Block("item", "", level, f"{n}." if numbered else "-"))

    def _read_table(self, table: Any) -> None:
        rows = [[_cell(cell) for cell in row] for row in table.iter("row")]
        columns = max(map(len, rows), default=0)
        if columns < 2 or any(len(cell) > 500 for row in rows for cell in row) or _holds_blocks(table):
            for cell in table.iter("cell"):  # the table only lays out the page
                if next(cell.iterancestors("cell"), None) is None:
                    self.read(cell)
            return
        for row in rows:
            if any(row):
                self._append(Block("row", "\t".join(row + [""] * (columns - len(row)))))

    def _add(self, text: str | None) -> None:
        if text:
            self._parts.append(text.replace("\n", " "))

    def _flush(self, like: Block) -> None:
        text = _AROUND_BREAKS.sub("\n", _SPACES.sub(" ", "".join(self._parts))).strip()
        self._parts.clear()
        self._append(replace(like, text=text))

    def _append(self, block: Block) -> None:
        if block.text.strip():
            self.blocks.append(block)


def _is_block(code: Any) -> bool:
    return (
        len(code) > 0 or "\n" in "".join(code.itertext()) or code.getparent().tag in ("body", "div", "cell")
    )


def _holds_blocks(table: Any) -> bool:
    return next(table.iter("list", "head", "code"), None) is not None or len(list(table.iter("table"))) > 1


def _cell(cell: Any) -> str:
    return " ".join(" ".join(cell.itertext()).split())


def _bulk_blocks(html: str) -> list[Block]:
    text = load_extra("resiliparse.extract.html2text").extract_plain_text(
        _prepared(html),
        preserve_formatting="minimal_html",
        main_content=True,
        alt_texts=False,
        comments=False,
        post_meta=False,
    )
    blocks: list[Block] = []
    lists: list[int] = []  # items so far of each list that is open: -1 and below for bullets
    like, parts = _LOOSE, [""]
    pieces = _BULK_TAG.split(text)
    for tag, piece in zip(["", *pieces[1::2]], pieces[::2], strict=True):
        if tag and tag != "br":  # a line break follows <br> as it is
            _bulk_flush(blocks, like, parts)
            like = _bulk_open(tag, lists)
        parts.append(piece)
    _bulk_flush(blocks, like, parts)
    return blocks


def _bulk_open(tag: str, lists: list[int]) -> Block:
    """Return what the text after a tag is, keeping count of lists and their items."""
    if tag in ("ul", "ol"):
        lists.append(0 if tag == "ol" else -1)
    elif tag in ("/ul", "/ol") and lists:
        lists.pop()
    elif tag == "li" and lists:
        if lists[-1] < 0:
            return Block("item", "", len(lists))
        lists[-1] += 1
        return Block("item", "", len(lists), f"{lists[-1]}.")
    elif tag == "pre":
        return Block("code", "")
    elif tag[0] == "h":
        return Block("heading", "", int(tag[1]))
    return _LOOSE


def _bulk_flush(blocks: list[Block], like: Block, parts: list[str]) -> None:
    text = html_module.unescape("".join(parts))
    parts.clear()
    if like.kind == "code":
        pieces = [text.strip("\n")]
    elif like.kind == "paragraph" and "\t" in text:
        pieces = text.split("\n")
    else:
        pieces = text.split("\n\n")
    for piece in pieces:
        if not piece.strip():
            continue
        if like.kind == "code":
            blocks.append(replace(like, text=piece))
        elif like.kind == "paragraph" and "\t\t" in piece.strip():
            cells = [" ".join(cell.split()) for cell in piece.strip("\n").split("\t\t")]
            blocks.append(Block("row", "\t".join(cells)))
        else:
            blocks.append(replace(like, text=_AROUND_BREAKS.sub("\n", _SPACES.sub(" ", piece)).strip()))
