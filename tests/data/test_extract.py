from collections.abc import Callable
from typing import Any

import pytest

from luban.data import extract
from luban.data.extract import (
    MAX_ATTRIBUTES,
    ExtractMainText,
    extract_bulk,
    extract_main_text,
    has_tag_with_more_attributes,
    is_nested_deeper,
)
from luban.records import Document, Drop

BOTH = pytest.mark.parametrize("read", [extract_main_text, extract_bulk])
Read = Callable[..., "str | None"]

PAGE = """<!doctype html><html><head><title>t</title></head><body>
<nav><ul><li><a href="/">Home page</a></li><li><a href="/a">About us</a></li></ul></nav>
<article><h1>{heading}</h1>{paragraphs}</article>
<footer><p>All rights reserved. Cookie settings. <a href="/p">Privacy policy</a></p></footer>
<script>start("tracking")</script><style>p {{color: tracking}}</style></body></html>"""
ENGLISH = "".join(
    f"<p>The harvest of year {year} was poor, and the village had to sell its last cattle before winter.</p>"
    for year in (1816, 1817, 1845, 1846)
)
CHINESE = "".join(
    f"<p>{year}年收成不好，村里人不得不在入冬之前卖掉最后几头牛，日子过得十分艰难，大家都盼着春天。</p>"
    for year in ("道光三", "道光四", "光绪二", "光绪三")
)
HTML = {"format": "html"}


@BOTH
def test_main_text_stays_and_menus_and_scripts_go_in_both_languages(read: Read) -> None:
    english = read(PAGE.format(heading="A hard winter", paragraphs=ENGLISH)) or ""
    chinese = read(PAGE.format(heading="艰难的冬天", paragraphs=CHINESE)) or ""
    assert english.count("and the village had to sell") == 4
    assert "光绪二年收成不好" in chinese
    for text in (english, chinese):
        assert "About us" not in text
        assert "Privacy policy" not in text
        assert "tracking" not in text


def test_a_sentence_with_code_in_a_div_stays_on_one_line() -> None:
    sentence = (
        "The daemon that answers was written by the ISC (who also made {}) and is the main one of its kind."
    )
    div = f"<div>\n\t\t{sentence.format('<code>bind</code>')}\n\t</div>"
    page = f"<html><body><ul><li><a href=a>Prev</a></li></ul><div><h2>DHCP</h2>{div}<pre>x = 1</pre></div></body></html>"
    assert sentence.format("bind") in (extract_main_text(page) or "").splitlines()


@pytest.mark.parametrize("text", [ENGLISH, CHINESE])
def test_paragraphs_in_divs_stay_though_some_are_short_or_wrapped(text: str) -> None:
    lines = [line.removesuffix("</p>") for line in text.split("<p>")[1:]]
    long = "".join(f"<div>{n}{lines[0]}{lines[1]}</div>" for n in range(4))
    body = f"<div><span>{lines[2]}</span></div>{long}<div><span>{lines[3]}</span></div>"
    page = f'<html><body><div class="article-body"><div class="editor">{body}</div></div></body></html>'
    found = extract_main_text(page) or ""
    assert [line in found for line in lines] == [True] * 4
    tree = pytest.importorskip("lxml.html").fromstring(page)
    extract._name_paragraphs(tree)
    assert not tree.findall(".//p")  # or trafilatura drops some that stay <div>


def test_a_page_without_text_is_dropped_and_other_sources_pass() -> None:
    step = ExtractMainText()
    empty = Document(
        "1",
        "<html><div id=root></div><script>start()</script></html>",
        "a/app.html",
        extra={"format": "html"},
    )
    result = step(empty)
    assert isinstance(result, Drop)
    assert result.reason == "no main text"
    text = Document("2", "<p>this is how a text file shows tags</p>", "a.txt")
    assert step(text) is text


STRUCTURED = """<h1>Recipe 食谱</h1>{text}<h2>Code 代码</h2><pre>def f(x):
    if x &lt; 1:

        return  "茶"
</pre>{text}<table><tr><th>Name</th><th>数量</th></tr><tr><td>tea</td><td>1|2</td></tr></table>{text}
<ol><li>Boil the water until it bubbles, and warm the pot with a little of it.</li>
<li>把茶叶放进壶里，倒上开水，盖好盖子，等上三五分钟，味道就出来了。</li></ol>{text}"""
CODE = 'def f(x):\n    if x < 1:\n\n        return  "茶"'
FIRST = "Boil the water until it bubbles, and warm the pot with a little of it."
SECOND = "把茶叶放进壶里，倒上开水，盖好盖子，等上三五分钟，味道就出来了。"


def structured(text: str) -> str:
    return f"<html><body><article>{STRUCTURED.format(text=text)}</article></body></html>"


@BOTH
@pytest.mark.parametrize("text", [ENGLISH, CHINESE])
def test_code_keeps_its_lines_and_tables_lists_and_headings_their_form(read: Read, text: str) -> None:
    plain = read(structured(text)) or ""
    assert f"\n\n{CODE}\n\n" in plain
    assert "\n\nName\t数量\ntea\t1|2\n\n" in plain
    assert f"\n\n1. {FIRST}\n2. {SECOND}\n\n" in plain
    assert plain.startswith("Recipe 食谱\n\n")
    marked = read(structured(text), markdown=True) or ""
    assert f"\n\n```\n{CODE}\n```\n\n" in marked
    assert "\n\n| Name | 数量 |\n|---|---|\n| tea | 1\\|2 |\n\n" in marked
    assert marked.startswith("# Recipe 食谱\n\n")
    assert "\n\n## Code 代码\n\n" in marked


def test_line_numbers_beside_code_go_with_the_table_that_held_them() -> None:
    table = "<table><tr><td><pre>1\n2</pre></td><td><pre>a = 1\nif a:</pre></td></tr></table>"
    text = extract_main_text(f"<article>{ENGLISH}{table}{CHINESE}</article>") or ""
    assert "\n\na = 1\nif a:\n\n" in text
    assert "1\n2" not in text


@BOTH
def test_lines_that_the_source_broke_between_chinese_characters_are_joined_without_a_space(
    read: Read,
) -> None:
    text = (
        read(f"<article>{CHINESE}<p>那一年收成\n    不好，村里人都盼着\n春天。</p>{CHINESE}</article>") or ""
    )
    assert "那一年收成不好，村里人都盼着春天。" in text


@BOTH
def test_a_row_of_links_between_paragraphs_goes_and_a_linked_word_stays(read: Read) -> None:
    linked = ENGLISH.replace("the village", '<a href="/v">the village</a>').replace("year 18", "year 17")
    links = '<p><a href="/1">Another article to read</a></p><p><a href="/2">另一篇文章的标题</a></p>'
    text = read(f"<html><body><article>{ENGLISH}{links}{linked}</article></body></html>") or ""
    assert "Another article" not in text
    assert "另一篇" not in text
    assert text.count("the village had to sell") == 8


def test_what_the_bulk_extractor_misses_the_precise_one_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    page = PAGE.format(heading="A hard winter", paragraphs=ENGLISH) + "<!-- " + "x" * 6000 + " -->"
    monkeypatch.setattr(extract, "_bulk_blocks", lambda html: [])
    assert extract_bulk(page) == extract_main_text(page)


def test_pages_that_are_too_large_or_too_deep_are_dropped_with_the_limit() -> None:
    large = ExtractMainText(max_chars=100)(Document("1", PAGE, "a.html", extra=HTML))
    assert isinstance(large, Drop)
    assert large == Drop("page too large", f"{len(PAGE)} characters of html, at most 100 are read")
    deep = ExtractMainText()(Document("1", "<div>" * 5000 + ENGLISH, "a.html", extra=HTML))
    assert isinstance(deep, Drop)
    assert deep.reason == "page nested too deeply"
    assert is_nested_deeper("<div>" * 3, 2)
    assert not is_nested_deeper("<div></div>" * 30, 2)


@pytest.mark.parametrize("tag", ["meta", "div", "p"])
def test_a_tag_with_thousands_of_attributes_is_dropped_and_long_values_are_not(tag: str) -> None:
    trap = f"<{tag} " + " ".join(f'a{i}="v {i}"' for i in range(MAX_ATTRIBUTES + 1)) + f">{ENGLISH}"
    result = ExtractMainText()(Document("1", trap, "a.html", extra=HTML))
    assert isinstance(result, Drop)
    assert (result.reason, str(MAX_ATTRIBUTES) in result.detail) == ("too many attributes", True)
    assert has_tag_with_more_attributes("<a " + "b " * (MAX_ATTRIBUTES + 1) + ">", MAX_ATTRIBUTES)
    picture = f"<{tag} data-all='" + "a=1 " * 50_000 + "'>"
    assert not has_tag_with_more_attributes(picture, MAX_ATTRIBUTES)
    assert not has_tag_with_more_attributes("a < b " * 20_000, MAX_ATTRIBUTES)


@pytest.mark.parametrize("text", [ENGLISH, CHINESE])
def test_a_page_of_which_little_comes_out_is_read_again_by_the_slower_ways(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trafilatura = pytest.importorskip("trafilatura")
    read = trafilatura.bare_extraction
    teaser = "<html><body><article><p>The village had to sell.</p></article></body></html>"
    asked: list[dict[str, bool]] = []

    def only_a_teaser_until_all_is_tried(page: Any, **options: bool) -> Any:
        asked.append(options)
        return read(teaser if options["fast"] else page, **options)

    monkeypatch.setattr(trafilatura, "bare_extraction", only_a_teaser_until_all_is_tried)
    page = PAGE.format(heading="", paragraphs=text)
    assert ("1846" if text == ENGLISH else "光绪三") in (extract_main_text(page) or "")
    assert [(o["fast"], o.get("favor_recall", False)) for o in asked] == [
        (True, False),
        (True, True),
        (False, False),
    ]
    asked.clear()
    monkeypatch.setattr(
        trafilatura, "bare_extraction", lambda p, **options: asked.append(options) or read(p, **options)
    )
    extract_main_text(page)
    assert len(asked) == 1


def test_a_page_too_deep_for_the_precise_extractor_is_read_by_the_other() -> None:
    page = "<html><body>" + "<div>" * 400 + f"<article>{ENGLISH}</article>" + "</div>" * 400
    result = ExtractMainText()(Document("1", page, "a.html", extra=HTML))
    assert isinstance(result, Document)
    assert "The harvest of year 1846" in result.text


def test_the_step_notes_title_date_and_licence_of_a_page() -> None:
    head = (
        '<head><title>Winter</title><meta property="article:published_time" content="2019-06-15T08:18:00Z">'
    )
    foot = '<a rel="license" href="https://creativecommons.org/licenses/by/4.0/">CC BY</a>'
    page = f"<html lang=en>{head}</head><body><article>{ENGLISH}</article>{foot}</body></html>"
    for name in ("precise", "bulk"):
        result = ExtractMainText(extractor=name)(Document("1", page, "a.html", extra={"site": "s", **HTML}))  # type: ignore[arg-type]
        assert isinstance(result, Document)
        assert (result.time, result.licence) == ("2019-06-15T08:18:00Z", "CC-BY-4.0")
        assert result.extra == {"site": "s", "title": "Winter", "page_language": "en"}
