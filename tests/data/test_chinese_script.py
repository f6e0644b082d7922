import pytest

from luban.data.chinese_script import ConvertChinese, Script, convert_chinese
from luban.records import Document

pytest.importorskip("opencc", reason="opencc is not installed")

SIMPLIFIED = "他发现头发里有一根白发，后来皇后在里面等他。"
TRADITIONAL = "他發現頭髮裡有一根白髮，後來皇后在裡面等他。"


def test_words_are_converted_both_ways_not_characters_alone() -> None:
    assert convert_chinese(TRADITIONAL, "simplified") == SIMPLIFIED
    assert convert_chinese(SIMPLIFIED, "traditional") == TRADITIONAL
    assert convert_chinese(SIMPLIFIED, "simplified") == SIMPLIFIED


@pytest.mark.parametrize("script", ["simplified", "traditional"])
def test_other_languages_and_converted_texts_stay_as_they_are(script: Script) -> None:
    step = ConvertChinese(script)
    for text in ("plain English – “as it is”", "東京へ行きました。経済の話です。", "서울 大韓民國 만세", ""):
        document = Document("1", text, "a.txt")
        assert step(document) is document
    japanese = Document("1", "東京経済新聞", "a.txt", language="ja")
    assert step(japanese) is japanese
    once = convert_chinese(SIMPLIFIED + TRADITIONAL, script)
    assert convert_chinese(once, script) == once
