"""XML in its guises: any XML, MediaWiki dumps, and the zipped kinds docx, odt and epub.

Nothing that a file names is fetched, no entity but XML's own five is replaced, and trees stay small.
"""

from __future__ import annotations

import io
import posixpath
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from typing import IO, Any
from urllib.parse import unquote

from luban.data.encoding import Unreadable
from luban.data.extras import load_extra
from luban.data.readers.jsons import peek
from luban.data.readers.plain import as_pieces
from luban.data.readers.records import Blob, Broken, Found, Metered, Record, Spent
from luban.data.readers.wikitext import plain_wikitext

_BLOCKS = frozenset(
    (
        "p",
        "div",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "li",
        "tr",
        "br",
        "blockquote",
        "section",
        "pre",
        "dt",
        "dd",
    )
    + ("title", "table", "figcaption", "article", "header", "footer", "aside", "ul", "ol", "hr")
)
_UNSEEN = frozenset(("script", "style", "head"))
_FACTS = {
    "title": "title", "creator": "author", "language": "language", "date": "date", "created": "date",
    "rights": "rights",
}  # fmt: skip
_OPTIONS = {"resolve_entities": False, "no_network": True, "huge_tree": False, "load_dtd": False}
_INLINE = frozenset(
    ("a", "b", "i", "u", "em", "strong", "span", "sub", "sup", "hi", "ref", "emph", "bold", "italic", "xref")
)
_BLOCK_BYTES = 1 << 18
_LINE_CHARS = 1 << 20
TREE_BYTES = 30_000_000
"""A part of a file that becomes a tree is no larger: trees take ten times the memory."""


def read_xml(blob: Blob) -> Found:
    """Yield the text of an XML file, an element a line; of a MediaWiki dump, a record a page."""
    head, stream = peek(blob.stream)
    if b"<mediawiki" in head[:4096]:
        yield from _pages(blob, stream)
    else:
        yield from as_pieces(blob, _texts(stream))


def read_docx(blob: Blob) -> Found:
    """Yield the paragraphs and tables of a Word file."""
    with blob.seekable() as stream, _opened(stream, "docx") as archive:
        facts = _facts(blob, archive, "docProps/core.xml")
        tree = _parse(blob, archive, "word/document.xml")
        yield from as_pieces(blob, _lines(_docx_blocks(tree)), facts)


def read_odt(blob: Blob) -> Found:
    """Yield the paragraphs and tables of an OpenDocument text."""
    with blob.seekable() as stream, _opened(stream, "odt") as archive:
        facts = _facts(blob, archive, "meta.xml")
        tree = _parse(blob, archive, "content.xml")
        yield from as_pieces(blob, _lines(_odt_blocks(tree)), facts)


def read_epub(blob: Blob) -> Found:
    """Yield the chapters of a book in reading order, as one text."""
    with blob.seekable() as stream, _opened(stream, "epub") as archive:
        container = _parse(blob, archive, "META-INF/container.xml")
        opf = next((e.get("full-path") for e in container.iter() if _tag(e) == "rootfile"), None)
        if not opf:
            raise Unreadable("broken epub: it names no content")
        package = _parse(blob, archive, opf)
        items = {e.get("id"): e.get("href") for e in package.iter() if _tag(e) == "item"}
        chapters = [items.get(e.get("idref")) for e in package.iter() if _tag(e) == "itemref"]
        folder = posixpath.dirname(opf)
        names = [posixpath.normpath(posixpath.join(folder, unquote(c))) for c in chapters if c]
        broken: list[Broken] = []
        blocks = (text for name in names for text in (*_chapter_or(blob, archive, name, broken), ""))
        yield from as_pieces(blob, _lines(blocks), _metadata(package))
        yield from broken


class _Lines:
    """Gathers the text between tags in order, for a parser that builds no tree."""

    def __init__(self) -> None:
        self.parts: list[str] = []

    def start(self, tag: str, attributes: Any) -> None:
        if tag.rpartition("}")[2] not in _INLINE:
            self.parts.append("\n")

    def end(self, tag: str) -> None:
        self.start(tag, None)

    def data(self, text: str) -> None:
        self.parts.append(text.replace("\n", " "))

    def close(self) -> None:
        pass


def _texts(stream: IO[bytes]) -> Iterator[str]:
    etree = load_extra("lxml.etree")
    lines = _Lines()
    parser = etree.XMLParser(target=lines, remove_comments=True, remove_pis=True, **_OPTIONS)
    rest = ""
    try:
        while block := stream.read(_BLOCK_BYTES):
            parser.feed(block)
            rest += "".join(lines.parts)
            lines.parts.clear()
            whole, _, rest = rest.rpartition("\n")
            if len(rest) > _LINE_CHARS:
                whole, rest = f"{whole}\n{rest}", ""
            yield from _without_blanks(whole)
        parser.close()
    except etree.XMLSyntaxError as e:
        raise Unreadable(f"broken XML: {e}") from None
    yield from _without_blanks(rest + "".join(lines.parts))


def _without_blanks(text: str) -> Iterator[str]:
    for line in text.split("\n"):
        flat = " ".join(line.split())
        if flat:
            yield flat + "\n"


class _Bounded:
    """A stream that ends in an error when a page of it has no end."""

    def __init__(self, stream: IO[bytes], limit: int):
        self._stream, self._limit, self.size = stream, limit, 0

    def read(self, size: int) -> bytes:
        """Return so many bytes."""
        data = self._stream.read(size)
        self.size += len(data)
        if self.size > self._limit:
            raise Unreadable(f"a page of more than {self._limit / 1e6:g} MB")
        return data


def _pages(blob: Blob, stream: IO[bytes]) -> Found:
    """Yield the articles of a dump; redirects and pages of other name spaces are counted."""
    etree = load_extra("lxml.etree")
    position = n_redirects = n_others = 0
    bounded = _Bounded(stream, min(TREE_BYTES, blob.settings.max_file_bytes))
    try:
        for _, page in etree.iterparse(bounded, tag="{*}page", remove_comments=True, **_OPTIONS):
            position += 1
            bounded.size = 0
            parts = {_tag(e): (e.text or "") for e in page.iter() if isinstance(e.tag, str)}
            if parts.get("ns", "0").strip() != "0":
                n_others += 1
            elif "redirect" in parts:
                n_redirects += 1
            else:
                row = {"title": parts.get("title", ""), "timestamp": parts.get("timestamp", "")}
                text = plain_wikitext(parts.get("text", ""))
                yield Record(position, text, row, line=position, file=blob.name)
            page.clear()
            while page.getprevious() is not None:
                del page.getparent()[0]
    except etree.XMLSyntaxError as e:
        raise Unreadable(f"broken XML after page {position}: {e}") from None
    if n_redirects or n_others:
        reason = f"passed over: {n_redirects} redirects, {n_others} pages of other name spaces than articles"
        yield Broken(blob.name, None, reason)


def _opened(stream: IO[bytes], kind: str) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(stream)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as e:
        raise Unreadable(f"broken {kind}: {e}") from None


def _member(blob: Blob, archive: zipfile.ZipFile, name: str) -> bytes:
    limit = min(TREE_BYTES, blob.settings.max_file_bytes)
    try:
        info = archive.getinfo(name)
        with archive.open(info) as packed:
            meter = Metered(packed, blob.budget, max(info.compress_size, 1))
            data = io.BufferedReader(meter).read(limit + 1)
        if meter.error is not None:
            raise meter.error
    except KeyError:
        raise Unreadable(f"broken file: it has no {name}") from None
    except (zipfile.BadZipFile, zlib.error, RuntimeError, ValueError, EOFError, OSError) as e:
        raise Unreadable(f"broken file: {name}: {e}") from None
    if len(data) > limit:
        raise Unreadable(f"{name} unpacks to more than {limit / 1e6:g} MB")
    return data


def _parse(blob: Blob, archive: zipfile.ZipFile, name: str, *, recover: bool = False) -> Any:
    etree = load_extra("lxml.etree")
    data = _member(blob, archive, name)
    try:
        tree = etree.fromstring(data, etree.XMLParser(recover=recover, remove_comments=True, **_OPTIONS))
    except (etree.XMLSyntaxError, ValueError) as e:
        raise Unreadable(f"broken XML in {name}: {e}") from None
    if tree is None:
        raise Unreadable(f"broken XML in {name}")
    return tree


def _facts(blob: Blob, archive: zipfile.ZipFile, name: str) -> dict[str, object]:
    """Return what a file says of itself; many say nothing."""
    return _metadata(_parse(blob, archive, name)) if name in archive.namelist() else {}


def _metadata(tree: Any) -> dict[str, object]:
    found: dict[str, object] = {}
    for element in tree.iter():
        name = _FACTS.get(_tag(element).lower())
        text = (element.text or "").strip()
        if name and text:
            found.setdefault(name, text)
    rights = str(found.pop("rights", ""))
    return {**found, "licence": rights} if 0 < len(rights) <= 100 else found


def _lines(blocks: Iterable[str]) -> Iterator[str]:
    return (block + "\n" for block in blocks)


def _docx_blocks(tree: Any) -> Iterator[str]:
    body = next((e for e in tree.iter() if _tag(e) == "body"), tree)
    for element in body:
        tag = _tag(element)
        if tag == "tbl":
            yield from _table(element, "tr", "tc", _docx_text)
            yield ""
        elif tag in ("p", "sdt"):
            yield _docx_text(element)
            yield ""


def _docx_text(element: Any) -> str:
    signs = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}
    parts: list[str] = []
    for one in element.iter():
        tag = _tag(one)
        if tag == "t":
            parts.append(one.text or "")
        elif tag in signs and _tag(one.getparent()) == "r":
            parts.append(signs[tag])
        elif tag == "p" and parts and one is not element:
            parts.append("\n")
    return "".join(parts).strip()


def _odt_blocks(tree: Any) -> Iterator[str]:
    body = next((e for e in tree.iter() if _tag(e) == "text" and _tag(e.getparent()) == "body"), tree)
    for element in body.iter():
        tag = _tag(element)
        if tag == "table":
            yield from _table(element, "table-row", "table-cell", _odt_text)
            yield ""
        elif tag in ("p", "h") and not any(_tag(a) == "table" for a in element.iterancestors()):
            yield _odt_text(element)
            yield ""


def _odt_text(element: Any) -> str:
    parts = [element.text or ""]
    for child in element:
        tag = _tag(child)
        spaces = child.get(next((k for k in child.attrib if k.endswith("}c")), ""), "1") if tag == "s" else ""
        inner = {"tab": "\t", "line-break": "\n", "s": " " * min(int(spaces or 1), 100)}.get(tag)
        if inner is None:
            inner = "" if tag in ("note", "annotation") else _odt_text(child)
        parts += [inner, "\n" if tag == "p" and child.getnext() is not None else "", child.tail or ""]
    return "".join(parts).strip()


def _table(table: Any, row_tag: str, cell_tag: str, text_of: Any) -> Iterator[str]:
    for row in table.iter():
        if _tag(row) == row_tag:
            cells = [" ".join(text_of(cell).split()) for cell in row if _tag(cell) == cell_tag]
            if any(cells):
                yield " | ".join(cells)


def _chapter_or(blob: Blob, archive: zipfile.ZipFile, name: str, broken: list[Broken]) -> Iterator[str]:
    """Yield the lines of a chapter; one that cannot be read is noted, and the book goes on."""
    try:
        yield from _chapter(blob, archive, name)
    except Spent:
        raise
    except Unreadable as e:
        broken.append(Broken(f"{blob.name}/{name}", None, str(e)))


def _chapter(blob: Blob, archive: zipfile.ZipFile, name: str) -> Iterator[str]:
    tree = _parse(blob, archive, name, recover=True)
    parts: list[str] = []
    _gather(tree, parts)
    for line in "".join(parts).split("\n"):
        text = " ".join(line.split())
        if text:
            yield text
            yield ""


def _gather(tree: Any, parts: list[str]) -> None:
    """Append the text of a page's tree, with line ends around its blocks; no recursion: trees may be deep."""
    etree = load_extra("lxml.etree")
    hidden = 0
    for event, element in etree.iterwalk(tree, events=("start", "end")):
        tag = _tag(element).lower()
        if event == "start":
            hidden += tag in _UNSEEN
            parts.append("\n" if tag in _BLOCKS else "")
            parts.append("" if hidden else _flat(element.text))
        else:
            hidden -= tag in _UNSEEN
            parts.append("\n" if tag in _BLOCKS else "")
            parts.append("" if hidden else _flat(element.tail))


def _flat(text: str | None) -> str:
    return (text or "").replace("\n", " ")


def _tag(element: Any) -> str:
    tag = element.tag if element is not None else ""
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""
