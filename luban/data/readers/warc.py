"""Crawl archives: the pages and texts of WARC (ISO 28500) and WET files."""

from __future__ import annotations

import contextlib
import io
import zlib
from email.message import Message
from typing import Any

from luban.data.encoding import Unreadable, decode_html, text_blocks
from luban.data.extras import load_extra
from luban.data.readers.archives import ReadMember
from luban.data.readers.plain import HTML_BYTES
from luban.data.readers.records import HTML, Blob, Broken, Found, Record

_PAGES = ("text/html", "application/xhtml+xml")
_NO_DOCUMENTS = frozenset(("warcinfo", "request", "metadata", "revisit", "continuation"))


def read_warc(blob: Blob, read_member: ReadMember) -> Found:
    """Yield the responses with a page or a text, and the texts of conversion records.

    The address is the record's source, and WARC-Date its time. Other responses are rejected: failed
    requests, and what is no text.
    """
    loading = load_extra("warcio.exceptions").ArchiveLoadFailed
    iterator = load_extra("warcio.archiveiterator").ArchiveIterator(blob.stream, no_record_parse=False)
    position = 0
    while True:
        try:
            record = next(iterator, None)
        except (loading, ValueError, zlib.error, AttributeError) as e:
            raise Unreadable(f"broken WARC after record {position}: {e}") from None
        if record is None:
            if not position:
                raise Unreadable("no WARC record in it")
            return
        position += 1
        if record.rec_type not in _NO_DOCUMENTS:
            yield from _record(blob, record, position)


def _record(blob: Blob, record: Any, position: int) -> Found:
    address = record.rec_headers.get_header("WARC-Target-URI") or ""
    address = address.strip("<> ")
    place = (blob.name, position)
    row = {"date": record.rec_headers.get_header("WARC-Date") or ""}
    extra = {"archive": blob.name}
    try:
        http = _http_headers(record)
    except (load_extra("warcio.statusandheaders").StatusAndHeadersParserException, EOFError) as e:
        yield Broken(*place, f"{address}: broken headers: {e}")
        return
    if http is not None and http.get_statuscode()[:1] != "2":
        yield Broken(*place, f"{address}: status {http.get_statuscode() or 'unknown'}")
        return
    kind, charset = _content_type(record)
    limit = min(HTML_BYTES, blob.settings.max_file_bytes)
    try:
        data = record.content_stream().read(limit + 1)
    except (ValueError, zlib.error, EOFError) as e:
        yield Broken(*place, f"{address}: broken content: {e}")
        return
    missing = getattr(record.raw_stream, "limit", 0) if len(data) <= limit else 0
    if missing > 0:
        yield Broken(*place, f"{address}: it ends {missing} bytes early")
    elif len(data) > limit:
        yield Broken(*place, f"{address}: more than {limit / 1e6:g} MB")
    elif not data.strip():
        yield Broken(*place, f"{address}: no text in it")
    elif kind in _PAGES or (not kind and b"<html" in data[:2048].lower()):
        text = decode_html(data, charset)
        yield Record(position, text, row, {**extra, **HTML}, position, blob.name, address)
    elif record.rec_type == "conversion" or kind.startswith("text/"):
        text = _text(data, charset)
        yield Record(position, text, row, extra, position, blob.name, address)
    else:
        yield Broken(*place, f"{address}: no text, but {kind or 'an unnamed type'}")


def _http_headers(record: Any) -> Any:
    """Return a response's headers, also where the address is none of the web's, which warcio passes over."""
    if record.http_headers is None and (record.content_type or "").startswith("application/http"):
        parser = load_extra("warcio.statusandheaders").StatusAndHeadersParser(["HTTP/1.0", "HTTP/1.1"])
        record.http_headers = parser.parse(record.raw_stream)
    return record.http_headers


def _content_type(record: Any) -> tuple[str, str | None]:
    headers = record.http_headers or record.rec_headers
    message = Message()
    message["Content-Type"] = headers.get_header("Content-Type") or ""
    kind = message.get_content_type() if message["Content-Type"] else ""
    return kind, message.get_content_charset()


def _text(data: bytes, charset: str | None) -> str:
    if charset:
        with contextlib.suppress(LookupError, UnicodeDecodeError):
            return data.decode(charset)
    return "".join(text_blocks(io.BytesIO(data)))
