import pytest

from luban.data.readers.wikitext import plain_wikitext


@pytest.mark.parametrize(
    ("wiki", "plain"),
    [
        ("'''Tea''' is a [[drink|hot drink]].{{cn}}", "Tea is a hot drink."),
        ("{{Infobox|a={{b|c}}}}茶是[[植物]]。", "茶是植物。"),
        ("a<ref name=x/> b<ref>long {{cite}}</ref> c<!-- d -->", "a b c"),
        ("[[File:a.jpg|thumb|a [[b]]]]text[[分类:茶]]", "text"),
        ("{| class=x\n| a || b\n|}\nafter", "after"),
        ("== Head ==\n* one\n* two", "Head\n\none\ntwo"),
        ("see [https://example.org the page] and [https://example.org]", "see the page and "[:-1]),
        ("<b>bold</b> <br/>line", "bold line"),
        ("[[" * 50 + "{{" * 50, "[[" * 50 + "{{" * 50),
    ],
)
def test_markup_goes_and_text_stays(wiki: str, plain: str) -> None:
    assert plain_wikitext(wiki) == plain
