from __future__ import annotations

import gzip
import time
from email.utils import formatdate

import pytest

pytest.importorskip("scrapy")

from luban.data.crawl.fetch import FetchError, retry_after, unzip
from luban.data.crawl.sitemap import read_sitemap


def test_retry_after_is_read_as_seconds_and_as_a_date() -> None:
    assert retry_after("120") == 120
    assert 50 < retry_after(formatdate(time.time() + 60, usegmt=True)) <= 61
    assert retry_after(formatdate(time.time() - 60, usegmt=True)) == 0
    assert [retry_after(text) for text in ("", "soon", "-5", "１２")] == [0, 0, 0, 0]


def test_gzip_is_undone_up_to_the_limit() -> None:
    assert unzip(gzip.compress(b"a" * 10) + gzip.compress(b"b"), 11) == b"a" * 10 + b"b"
    with pytest.raises(FetchError, match="too large decompressed"):
        unzip(gzip.compress(b"a" * 10) + gzip.compress(b"bb"), 11)
    with pytest.raises(FetchError, match="cut short"):
        unzip(gzip.compress(b"a" * 100)[:-9], 1000)
    with pytest.raises(FetchError, match="broken compression"):
        unzip(b"\x1f\x8b broken", 1000)


def test_sitemaps_of_all_kinds_are_read() -> None:
    urls = (
        b'<?xml version="1.0"?><urlset><url><loc> http://a.example/1 </loc></url><url><loc/></url></urlset>'
    )
    index = b"<sitemapindex><sitemap><loc>/2.xml</loc></sitemap></sitemapindex>"
    assert read_sitemap(urls, 1000) == ("page", ["http://a.example/1"])
    assert read_sitemap(gzip.compress(index), 1000) == ("sitemap", ["/2.xml"])
    assert read_sitemap(b"\xef\xbb\xbfhttp://a.example/1\nnot one\n", 1000) == (
        "page",
        ["http://a.example/1"],
    )
    with pytest.raises(FetchError, match="too large"):
        read_sitemap(gzip.compress(b"<urlset>" + b" " * 2000), 1000)
    with pytest.raises(FetchError, match="broken sitemap"):
        read_sitemap(b"<", 1000)


def test_entities_of_a_sitemap_are_not_expanded() -> None:
    bomb = (
        b'<!DOCTYPE u [<!ENTITY a "aaaaaaaaaa"><!ENTITY f SYSTEM "file:///etc/passwd">]>'
        b"<urlset><url><loc>http://a.example/&f;&a;</loc></url></urlset>"
    )
    assert "root" not in str(read_sitemap(bomb, 10_000))
