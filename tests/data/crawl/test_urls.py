from __future__ import annotations

import pytest

from luban.data.crawl.settings import TRACKING
from luban.data.crawl.urls import BadUrl, parse_url


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("HTTP://Example.COM:80", "http://example.com/"),
        ("https://example.com:443/a#b", "https://example.com/a"),
        ("http://example.com:8080/a", "http://example.com:8080/a"),
        ("http://example.com/a/./b/../c/..", "http://example.com/a/"),
        ("http://example.com/%7euser/%e4%bd%a0", "http://example.com/~user/%E4%BD%A0"),
        ("http://example.com/你好?问=答", "http://example.com/%E4%BD%A0%E5%A5%BD?%E9%97%AE=%E7%AD%94"),
        ("http://example.com/100%", "http://example.com/100%25"),
        (" http://exa\nmple.com/a\tb ", "http://example.com/ab"),
        ("http://example.com./?", "http://example.com/"),
        ("http://Bücher.example/", "http://xn--bcher-kva.example/"),
        ("http://例え.jp/", "http://xn--r8jz45g.jp/"),
        ("http://2130706433/", "http://127.0.0.1/"),
        ("http://0x7f.1/", "http://127.0.0.1/"),
        ("http://0177.0.0.1/", "http://127.0.0.1/"),
        ("http://127.1/", "http://127.0.0.1/"),
        ("http://１２７.0.0.1/", "http://127.0.0.1/"),
        ("http://[0:0:0:0:0:0:0:1]:81/", "http://[::1]:81/"),
        ("http://a.example/?utm_source=x&q=1&fbclid=2&UTM_Medium=y", "http://a.example/?q=1"),
        ("http://a.example/?utm_source=x", "http://a.example/"),
        ("http://a.example/?b=2&a=1&b=1", "http://a.example/?b=2&a=1&b=1"),
    ],
)
def test_an_address_has_one_spelling(written: str, meant: str) -> None:
    assert parse_url(written, drop=TRACKING).text == meant
    assert parse_url(meant, drop=TRACKING).text == meant


@pytest.mark.parametrize(
    "text",
    [
        "ftp://a.example/", "file:///etc/passwd", "javascript:alert(1)", "mailto:a@b.c", "//a.example/", "http://",
        "http://user@a.example/", "http://user:word@a.example/", "http://a.example@127.0.0.1/", "http://a.example:0/",
        "http://a.example:99999/", "http://a b.example/", "http://a..example/", "http://[::1/", "http://[v1.x]/",
        "http://1.2.3.4.5/", "http://256.1.1.1/", "http://1.2.3.09/", "http://a%2eb/", "http://127.0.0.1\\.a.example/",
    ],
)  # fmt: skip
def test_what_is_no_web_page_is_refused(text: str) -> None:
    with pytest.raises(BadUrl):
        parse_url(text)


def test_links_are_joined_to_their_page_and_queries_sent_in_its_charset() -> None:
    base = "http://a.example/x/y?z"
    assert parse_url("../w", base=base).text == "http://a.example/w"
    assert parse_url("?q=中", base=base, encoding="gb18030").text == "http://a.example/x/y?q=%D6%D0"
    assert parse_url("?q=中", base=base, encoding="ascii").text == "http://a.example/x/y?q=%E4%B8%AD"
    assert parse_url("//b.example", base=base).text == "http://b.example/"


def test_the_order_of_parameters_makes_no_other_page() -> None:
    one, two = parse_url("http://a.example/?a=1&b=2"), parse_url("http://a.example/?b=2&a=1")
    assert one.key == two.key != parse_url("http://a.example/?a=2&b=1").key
    assert 0 <= one.key < 1 << 63


def test_session_ids_in_a_path_are_left_out_as_in_a_query() -> None:
    def clean(url: str) -> str:
        return parse_url(url, drop=("jsessionid",)).text

    assert clean("http://a.example/s;jsessionid=AAA/b;v=2;JSESSIONID=B?x=1") == "http://a.example/s/b;v=2?x=1"
    assert clean("http://a.example/s?jsessionid=A&&x=1&") == "http://a.example/s?x=1"
    assert parse_url("http://a.example/s;jsessionid=AAA").text == "http://a.example/s;jsessionid=AAA"
