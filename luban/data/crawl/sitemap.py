"""Sitemaps and their indexes (sitemaps.org), plain or gzipped, XML or one address a line."""

from __future__ import annotations

from typing import Literal

from luban.data.crawl.fetch import FetchError, unzip


def read_sitemap(body: bytes, limit: int) -> tuple[Literal["page", "sitemap"], list[str]]:
    """Return what a sitemap lists, and whether these are pages or more sitemaps."""
    if body[:2] == b"\x1f\x8b":
        body = unzip(body, limit)
    body = body.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not body.startswith(b"<"):
        lines = body.decode("utf-8", "replace").split()
        return "page", [line for line in lines if line.startswith(("http://", "https://"))]
    from scrapy.utils.sitemap import Sitemap

    try:
        sitemap = Sitemap(body)
        found = [entry["loc"] for entry in sitemap if entry.get("loc")]
    except (SyntaxError, StopIteration) as e:  # lxml's errors of form are SyntaxErrors
        raise FetchError(f"broken sitemap: {e}", passing=False) from None
    return ("sitemap" if sitemap.type == "sitemapindex" else "page"), found
