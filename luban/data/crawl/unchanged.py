"""Pages of an earlier crawl: what to ask about them, and their records when they have not changed."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

from luban.data.crawl.fetch import Fetched
from luban.data.crawl.frontier import Frontier
from luban.data.crawl.urls import parse_url
from luban.data.crawl.warc import read_member
from luban.errors import DataError
from luban.files import read_jsonl

PAGES = "crawl.jsonl"


def load_previous(frontier: Frontier, folder: Path) -> None:
    """Take over what an earlier crawl's folder knows of its pages, once."""
    if frontier.table("previous"):
        return
    pages = folder / PAGES
    if not pages.is_file():
        raise DataError(f"{folder} holds no {PAGES}", fix="name the output folder of an earlier crawl")
    with frontier.transaction():
        for row in read_jsonl(pages):
            if row["status"] == "fetched" and row["reason"] in ("stored", "unchanged"):
                frontier.db.execute(
                    "INSERT OR REPLACE INTO previous VALUES (?,?,?,?,?,?,?)",
                    (parse_url(row["url"]).key, str(folder / row["warc"]), row["offset"], row["length"],
                     row["etag"], row["last_modified"], row["digest"]),
                )  # fmt: skip


def old_page(earlier: tuple[Any, ...]) -> tuple[bytes, Fetched]:
    """Return the earlier record as it lies in its file, and the response in it."""
    path, offset, length = Path(earlier[0]), earlier[1], earlier[2]
    record = read_member(path, offset, length)
    from warcio.archiveiterator import ArchiveIterator

    try:
        found = next(iter(ArchiveIterator(io.BytesIO(record))))
        body = found.content_stream().read()
    except (StopIteration, OSError, gzip.BadGzipFile) as e:
        raise DataError(
            f"{path} has no record at {offset}: {e}", fix="crawl without --previous, or restore that folder"
        ) from None
    headers = tuple((str(k), str(v)) for k, v in found.http_headers.headers)
    when = found.rec_headers.get_header("WARC-Date")
    return record, Fetched(200, "HTTP/1.1", headers, body, "", when, 0.0, b"")
