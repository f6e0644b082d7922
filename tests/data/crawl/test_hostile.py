"""Pages and robots.txt files that are odd or broken cost themselves at most, never the crawl."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

pytest.importorskip("scrapy")
pytest.importorskip("warcio")

from luban.data.crawl.page import charset_of
from luban.data.crawl.process import _frontier_errors
from luban.data.crawl.settings import CrawlSettings
from luban.data.crawl.urls import parse_url
from luban.errors import ConfigError
from tests.data.crawl.site import Answer, links, serve
from tests.data.crawl.test_stage import run
from tests.data.crawl.traps import PLAIN

ODD = ("undefined", "idna", "unicode_escape", "charmap", "utf-7", "rot13", "zlib", "nonsense")


@pytest.mark.parametrize("name", ODD)
def test_a_charset_that_is_none_for_pages_is_passed_over(name: str) -> None:
    assert charset_of("中文".encode(), f"text/html; charset={name}") == "utf-8"
    declared = f"<meta charset={name}>".encode()
    assert charset_of(declared + "中文".encode("gbk"), "text/html; charset=gbk") == "gb18030"


def test_queries_are_sent_in_utf_8_from_utf_16_pages_and_whatever_cannot_be_written() -> None:
    assert parse_url("http://a.example/?q=词", encoding="utf-16-le").query == "q=%E8%AF%8D"
    assert parse_url("http://a.example/?q=词", encoding="undefined").query == "q=%E8%AF%8D"
    assert parse_url("http://a.example/\ud800?q=\udfff").text == "http://a.example/%EF%BF%BD?q=%EF%BF%BD"


def test_odd_pages_and_robots_cost_nothing_but_themselves(tmp_path: Path) -> None:
    odd = {
        f"/odd/{name}": Answer(
            links(f"/next?q=词&c={name}") + "\\ud800",
            headers={"Content-Type": f"text/html; charset={name}"},
        )
        for name in ODD
    }
    robots = "Sitemap: http://[broken/s.xml\nSitemap: /map.txt\nUser-agent: *\nDisallow:\n"
    found = {
        "/robots.txt": Answer(robots, headers=PLAIN),
        "/map.txt": Answer("http://[broken/page\n", headers=PLAIN),
        "/": links("/to-news", "/pdf", "/png", *odd),
        "/pdf": "%PDF-1.7\nwords",
        "/png": Answer(b"\x89PNG\r\n\x1a\n", headers={"Content-Type": ""}),
        "/to-news": Answer(status=302, headers={"Location": "/新闻/列表".encode().decode("latin-1")}),
        "/%E6%96%B0%E9%97%BB/%E5%88%97%E8%A1%A8": "新闻",
        "/next*": lambda path, headers: path,
    }
    with serve(found | odd) as site:
        crawled = run(site, tmp_path, retries=0)
    assert crawled.reason("/pdf") == crawled.reason("/png") == "skipped: not a text"
    assert {crawled.reason(path) for path in odd} == {"fetched: stored"}
    assert crawled.reason("/%E6%96%B0%E9%97%BB/%E5%88%97%E8%A1%A8") == "fetched: stored"
    assert crawled.reason("http://[broken/s.xml").startswith("skipped: not an address")
    assert crawled.reason("http://[broken/page").startswith("skipped: not an address")


@pytest.mark.parametrize("limit", ["max_pages", "max_pages_per_host"])
def test_an_endless_chain_of_pages_that_are_not_kept_ends_at_the_limit(tmp_path: Path, limit: str) -> None:
    def trap(path: str, headers: dict[str, str]) -> str:
        number = int(path.rpartition("/")[2])
        return links(f"/trap/{number + 1}", head='<meta name="robots" content="noindex">')

    with serve({"/": links("/trap/0"), "/trap/*": trap}) as site:
        crawled = run(site, tmp_path, max_depth=1000, **{limit: 2})
    assert crawled.facts["counts"]["fetched"] == 1
    assert len(site.log) < 120
    assert crawled.facts["reasons"][f"skipped: {limit}"] == 1


def test_a_few_bad_pages_in_a_row_do_not_cost_the_host(
    tmp_path: Path,
) -> None:
    bad = {f"/bad/{i}": Answer("no", 500) for i in range(5)}
    with serve({"/": links(*bad, "/good"), "/good": "good"} | bad) as site:
        crawled = run(site, tmp_path, retries=3, max_failures_in_a_row=6, retry_seconds=0.01)
    assert crawled.reason("/good") == "fetched: stored"
    assert crawled.reason("/bad/4") == "failed: http 500"


def test_a_proxy_that_is_no_address_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"crawl\.proxy"):
        CrawlSettings(proxy="nonsense")


def test_a_database_that_cannot_be_written_is_a_failure_of_the_disk(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="disk I/O error"), _frontier_errors(tmp_path):
        raise sqlite3.OperationalError("disk I/O error")


def test_robots_txt_that_fails_when_it_is_read_again_holds_as_it_was(tmp_path: Path) -> None:
    asked: list[str] = []

    def robots(path: str, headers: dict[str, str]) -> Answer:
        asked.append(path)
        return Answer("User-agent: *\nDisallow: /no", 200 if len(asked) == 1 else 503, PLAIN)

    found = {"/robots.txt": robots, "/": links("/1", "/no")} | {f"/{i}": links(f"/{i + 1}") for i in range(8)}
    with serve(found) as site:
        crawled = run(site, tmp_path, robots_max_age=0.1, delay=0.05, retries=0)
    assert len(asked) == 2
    assert crawled.reason("/7") == "fetched: stored"
    assert crawled.reason("/no") == "skipped: robots.txt"
