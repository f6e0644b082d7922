"""The text layer of PDF files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from luban.data.encoding import Unreadable
from luban.data.extras import load_extra
from luban.data.readers.plain import as_pieces
from luban.data.readers.records import Blob, Found


def read_pdf(blob: Blob) -> Found:
    """Yield the text of all pages; a scan has none, and is rejected."""
    pdfium = load_extra("pypdfium2")
    data = blob.read_all()
    try:
        document = pdfium.PdfDocument(data)
    except pdfium.PdfiumError as e:
        raise Unreadable(f"broken pdf, or one with a password: {e}") from None
    try:
        told = document.get_metadata_dict()
        names = (("title", "Title"), ("author", "Author"), ("date", "CreationDate"))
        facts: dict[str, object] = {ours: told[theirs] for ours, theirs in names if told.get(theirs)}
        yield from as_pieces(blob, _pages(document, pdfium.PdfiumError), facts)
    finally:
        document.close()


def _pages(document: Any, error: type[Exception]) -> Iterator[str]:
    for number in range(len(document)):
        try:
            page = document[number]
            text = page.get_textpage()
        except error as e:
            raise Unreadable(f"broken pdf on page {number + 1}: {e}") from None
        # U+FFFE is pdfium's sign for a hyphen at a line's end.
        yield text.get_text_range().replace("\ufffe\r\n", "").replace("\ufffe", "").strip() + "\n\n"
        text.close()
        page.close()
