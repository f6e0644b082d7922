from __future__ import annotations

import time

import pytest

from luban.data.crawl.robots import MAX_BYTES, Robots, agent_token, read_robots

pytest.importorskip("protego")


@pytest.mark.parametrize(
    ("text", "path", "allowed"),
    [
        ("user-agent: *\ndisallow: /a", "/ab", False),
        ("User-Agent: *\nDisallow: /a\nAllow: /ab", "/abc", True),
        ("User-agent: *\nAllow: /p\nDisallow: /p", "/p", True),
        ("User-agent: *\nDisallow:", "/a", True),
        ("User-agent: other\nDisallow: /", "/a", True),
        ("User-agent: luban\nAllow: /\nUser-agent: *\nDisallow: /", "/a", True),
        ("User-agent: LUBAN\nDisallow: /x\n\nUser-agent: luban\nDisallow: /y", "/y", False),
        ("User-agent: a\nUser-agent: luban\nDisallow: /a", "/a", False),
        ("User-agent: *\nDisallow: /*.gif$", "/x/y.gif", False),
        ("User-agent: *\nDisallow: /*.gif$", "/x/y.gif?z", True),
        ("User-agent: *\nDisallow: /%E4%BD%A0", "/%e4%bd%a0", False),
        ("User-agent: *\nDisallow: /你", "/%E4%BD%A0", False),
        ("User-agent: *\rDisallow: /a # no", "/a", False),
        ("Disallow: /a", "/a", True),
        ("", "/a", True),
    ],
)
def test_rules_are_read_as_rfc_9309_says(text: str, path: str, allowed: bool) -> None:
    assert Robots(text, time.time()).allows(f"http://a.example{path}", "Luban") is allowed


def test_an_unreachable_robots_txt_allows_nothing() -> None:
    assert not Robots("", time.time(), "http 503").allows("http://a.example/", "Luban")


def test_crawl_delay_and_sitemaps() -> None:
    robots = Robots("Sitemap: /map.xml\nUser-agent: *\nCrawl-delay: 2.5\n", time.time())
    assert robots.delay("Luban") == 2.5
    assert robots.sitemaps() == ["/map.xml"]
    assert Robots("User-agent: *\nCrawl-delay: often", time.time()).delay("Luban") == 0


def test_what_lies_beyond_500_kib_is_not_read_nor_half_a_line() -> None:
    head = b"\xef\xbb\xbfUser-agent: *\nDisallow: /first\n"
    filler = b"# comment\n" * (MAX_BYTES // 10 - 10)
    body = head + filler + b"#" * (MAX_BYTES - len(head) - len(filler) - 10) + b"\nDisallow: /beyond\n"
    text = read_robots(body)
    assert len(text) <= MAX_BYTES
    robots = Robots(text, time.time())
    assert not robots.allows("http://a.example/first", "Luban")
    assert robots.allows("http://a.example/beyond", "Luban")
    assert robots.allows("http://a.example/other", "Luban")


def test_the_name_in_robots_txt_is_the_word_before_the_slash() -> None:
    assert agent_token("Luban/1.0 (+https://example.org)") == "Luban"
    assert agent_token("NoSlash by me") == "NoSlash"
