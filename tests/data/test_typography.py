import pytest

from luban.data.typography import PlainTypography
from luban.records import Document


def plain(text: str, **options: bool) -> str:
    result = PlainTypography(**options)(Document("1", text, "a.txt"))
    assert isinstance(result, Document)
    return result.text


def test_wide_letters_and_digits_become_narrow_and_chinese_punctuation_stays() -> None:
    assert plain("Ｐｙｔｈｏｎ ３．１２，好！　", narrow=True) == "Python 3．12，好！　"
    assert plain("ＡＺａｚ０９", narrow=True) == "AZaz09"
    assert plain("ＡＺ “a”") == "ＡＺ “a”"


def test_marks_become_plain_but_not_beside_chinese() -> None:
    assert plain("“It’s” – he said — so…", plain_marks=True) == '"It\'s" - he said -- so...'
    for text in ("他说：“好的。”", "完了……", "天气——很好", "《书》‘名’字"):
        assert plain(text, plain_marks=True) == text


@pytest.mark.parametrize("text", ["ＡＢ “x” — 中文“好”…", "plain", "…—’"])
def test_doing_it_twice_is_doing_it_once(text: str) -> None:
    once = plain(text, narrow=True, plain_marks=True)
    assert plain(once, narrow=True, plain_marks=True) == once


def test_a_document_without_such_characters_comes_back_itself() -> None:
    step = PlainTypography(narrow=True, plain_marks=True)
    for text in ("plain ASCII - it's", "中文，没有宽字母。"):
        document = Document("1", text, "a.txt")
        assert step(document) is document
