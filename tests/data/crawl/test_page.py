from __future__ import annotations

import pytest

pytest.importorskip("scrapy")

from luban.data.crawl.page import charset_of, directives, read_page


def read(html: str | bytes, content_type: str = "text/html", wishes: str = ""):  # type: ignore[no-untyped-def]
    body = html.encode() if isinstance(html, str) else html
    return read_page(body, "http://a.example/", content_type, wishes, obey_nofollow=True)


def test_links_of_all_kinds_are_found_once_and_in_order() -> None:
    page = read(
        '<base href="/deep/"><a href="1">x</a><area href="2"><iframe src="3"></iframe><a href="1">x</a><a name="n">'
        '<meta http-equiv="refresh" content="5; URL=\'4\'"><link rel="stylesheet" href="no.css"><img src="no.png">'
    )
    assert page.links == ("1", "2", "3", "4")
    assert page.base == "/deep/"


def test_wishes_are_found_in_tags_and_headers() -> None:
    assert read('<meta name="Robots" content="NoIndex, follow">').noindex
    assert read('<meta name="robots" content="none">').nofollow
    assert read("<p>x", wishes="noindex").noindex
    assert not read('<meta name="robots" content="max-image-preview:none">').noindex
    assert directives("NOINDEX , nofollow", "Luban") == {"noindex", "nofollow"}


def test_wishes_by_name_count_for_the_robot_that_is_named() -> None:
    assert read("<p>x", wishes="luban: noindex").noindex
    assert read('<meta name="Luban" content="noindex">').noindex
    other = read(
        '<meta name="otherbot" content="none"><a href="1">x</a>', wishes="otherbot: noindex, nofollow"
    )
    assert not other.noindex
    assert not other.nofollow
    assert read("<p>x", wishes="otherbot: nofollow, luban: noindex").noindex
    assert directives("unavailable_after: 25 Jun 2010 15:00:00 PST, noindex", "Luban") >= {"noindex"}


def test_the_first_base_counts() -> None:
    assert read('<base href="/one/"><base href="/two/">').base == "/one/"


def test_the_canonical_address_is_found() -> None:
    assert (
        read('<link rel="alternate canonical" href="/c"><link rel="canonical" href="/d">').canonical == "/c"
    )


@pytest.mark.parametrize(
    ("body", "content_type", "charset"),
    [
        ("中文".encode("gb18030"), "text/html; charset=GB2312", "gb18030"),
        ("<meta charset=big5>中文".encode("big5"), "text/html", "big5hkscs"),
        (b"<meta http-equiv=content-type content='text/html; charset=Shift_JIS'>", "", "cp932"),
        ("\ufeffx".encode("utf-16"), "text/html; charset=utf-8", "utf-16-le"),
        ("中文".encode(), "text/html", "utf-8"),
        (b"plain", "text/html", "ascii"),
        (b"\x80\xff\xfd", "text/html", ""),
        (b"\xd6\xd0", "text/html; charset=nonsense", ""),
    ],
)
def test_charsets(body: bytes, content_type: str, charset: str) -> None:
    assert charset_of(body, content_type) == charset


@pytest.mark.parametrize(
    "html", ["", "   ", "<", "\0\0", "<a href='x" * 50, "<div>" * 5000, b"\xff\xd8\xff<a href=/x>"]
)
def test_broken_pages_are_read_without_complaint(html: str | bytes) -> None:
    read(html)


def test_links_in_a_chinese_page_are_read_in_its_charset() -> None:
    assert read('<a href="/词">词</a>'.encode("gb18030"), "text/html; charset=gbk").links == ("/词",)


@pytest.mark.parametrize("levels", [300, 5000])
def test_links_below_many_nested_tags_are_found(levels: int) -> None:
    html = "<div>" * levels + '<a href="/词">x</a>' + "</div>" * levels + '<a href="/after">y</a>'
    assert read(html).links == ("/词", "/after")
