import pytest

from luban.data.page_facts import iso_time, licence_name, read_page_facts
from luban.records import Document


def test_the_head_of_a_page_is_read_in_both_languages() -> None:
    page = """<!doctype html><html lang="zh-CN"><head><title>站点 - 茶</title>
    <meta content="茶的历史 &amp; 文化" property='og:title'><meta name="pubdate" content="2019年6月15日 08:18">
    <link href="https://example.org/tea" rel="canonical"></head><body><p>...</p></body></html>"""
    facts = read_page_facts(page)
    assert (facts.title, facts.time, facts.language) == ("茶的历史 & 文化", "2019-06-15T08:18:00", "zh-CN")
    assert facts.url == "https://example.org/tea"
    assert facts.licence == ""
    plain = read_page_facts('<TITLE>Tea\n  time</TITLE><script>{"datePublished": "2020-01-02"}</script>')
    assert (plain.title, plain.time, plain.language) == ("Tea time", "2020-01-02", "")


def test_what_is_known_of_a_document_stays() -> None:
    facts = read_page_facts('<html lang=en><title>Tea</title><meta name="date" content="2020-01-02">')
    known = Document("1", "", "a.html", licence="CC0-1.0", time="1999-01-01", extra={"title": "Mine"})
    result = facts.add_to(known)
    assert (result.time, result.licence, result.extra["title"]) == ("1999-01-01", "CC0-1.0", "Mine")
    assert facts.add_to(Document("1", "", "a.html")).time == "2020-01-02"
    assert facts.add_to(Document("1", "", "a.html")).licence == "unknown"


@pytest.mark.parametrize(
    ("page", "licence"),
    [
        ('<a href="https://creativecommons.org/licenses/by-sa/3.0/de/" rel="license">', "CC-BY-SA-3.0-DE"),
        ('<link rel="license" href="https://www.gnu.org/licenses/fdl.html">', "https://www.gnu.org/licenses/fdl.html"),
        ('<p>Text: <a href="//creativecommons.org/licenses/by/4.0/deed.en">CC BY</a>', "CC-BY-4.0"),
        ('<p>本文采用<a href="https://creativecommons.org/publicdomain/zero/1.0/">CC0</a>', "CC0-1.0"),
        ('<p>Photo: X, <a href="https://creativecommons.org/licenses/by/2.0/">CC BY</a>', ""),
        ('<a href="http://creativecommons.org/licenses/by/2.0/">a</a>' + " " * 300
         + '<a href="http://creativecommons.org/licenses/by-nc/2.0/">b</a>', ""),
        ("<p>creativecommons.org/licenses/by/4.0/ is an address</p>", ""),
    ],
)  # fmt: skip
def test_a_licence_is_believed_only_where_it_speaks_for_the_page(page: str, licence: str) -> None:
    assert read_page_facts(page).licence == licence


def test_dates_become_iso_8601_and_nonsense_nothing() -> None:
    assert iso_time("2019/6/5") == "2019-06-05"
    assert iso_time("2019-06-05T08:18:09.123+0800") == "2019-06-05T08:18:09+08:00"
    assert iso_time("2019-06-05 08:18 GMT") == "2019-06-05T08:18:00"
    for nonsense in ("", "2019-13-41", "yesterday", "June 5", "99-01-01", "2019-06-05T99:99"):
        assert iso_time(nonsense) == ""
    assert licence_name("all rights reserved") == ""


@pytest.mark.parametrize(
    "piece", ["<meta ", '<meta x="', "<a rel=", "<", "</head", "<html lang='", "<title>", "<a rel=license "]
)
def test_a_page_made_to_slow_the_reader_is_read_at_once(piece: str) -> None:
    assert read_page_facts(piece * 20_000).licence == ""
    assert read_page_facts(f"<meta {'a' * 90_000}>").title == ""
