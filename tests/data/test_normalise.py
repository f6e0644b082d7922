import pytest

from luban.data.normalise import TidyWhitespace, repair_unicode
from luban.records import Document

CHINESE = "灯塔看守人每天晚上都把天气记在本子上，字写得又小又工整，几十年来从没有间断过一天。"


@pytest.mark.parametrize(
    "text", ["café – naïve “quotes”", CHINESE, "Straße", "ﬁne ligature, ｗｉｄｅ letters"]
)
def test_mojibake_is_undone_and_good_text_left_alone(text: str) -> None:
    assert repair_unicode(text) == text
    if text == CHINESE or "caf" in text:
        assert repair_unicode(text.encode().decode("latin-1")) == text

    assert repair_unicode("une belle journÃ©e d'Ã©tÃ©") == "une belle journée d'été"


def test_control_characters_go_and_characters_are_composed() -> None:
    assert repair_unicode("a\x00b\x07c\ufeffd\u200be") == "abcde"
    assert repair_unicode("cafe\u0301") == "café"
    assert repair_unicode("one\r\ntwo\rthree") == "one\ntwo\nthree"
    assert repair_unicode("broken \ud83d pair").encode()


def test_whitespace_is_tidied_but_indents_stay() -> None:
    messy = Document("1", "\n\n  def f():  \n      return 1\t\n\n\n\nend\u3000\n", "a.txt")
    result = TidyWhitespace()(messy)
    assert isinstance(result, Document)
    assert result.text == "def f():\n      return 1\n\nend"
