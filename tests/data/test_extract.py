from luban.data.extract import ExtractMainText, extract_main_text
from luban.records import Document, Drop

PAGE = """<!doctype html><html><head><title>t</title></head><body>
<nav><ul><li><a href="/">Home page</a></li><li><a href="/a">About us</a></li></ul></nav>
<article><h1>{heading}</h1>{paragraphs}</article>
<footer><p>All rights reserved. Cookie settings. <a href="/p">Privacy policy</a></p></footer>
<script>start("tracking")</script></body></html>"""
ENGLISH = (
    "<p>The harvest of that year was poor, and the village had to sell its last cattle before winter.</p>" * 4
)
CHINESE = (
    "<p>那一年收成不好，村里人不得不在入冬之前卖掉最后几头牛，日子过得十分艰难，大家都盼着春天。</p>" * 4
)


def test_main_text_stays_and_menus_go_in_both_languages() -> None:
    english = extract_main_text(PAGE.format(heading="A hard winter", paragraphs=ENGLISH)) or ""
    chinese = extract_main_text(PAGE.format(heading="艰难的冬天", paragraphs=CHINESE)) or ""
    assert english.count("The harvest of that year") >= 1
    assert "那一年收成不好" in chinese
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


def test_a_page_without_text_is_dropped_and_other_sources_pass() -> None:
    step = ExtractMainText()
    empty = Document("1", "<html><div id=root></div><script>start()</script></html>", "a/app.html")
    result = step(empty)
    assert isinstance(result, Drop)
    assert result.reason == "no main text"
    text = Document("2", "<p>this is how a text file shows tags</p>", "a.txt")
    assert step(text) is text
