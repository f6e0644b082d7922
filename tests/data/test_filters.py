import pytest

from luban.data import filters
from luban.data.quality import measure
from luban.records import Document, Drop

ENGLISH = (
    "When the steamer came round the point, everybody who could walk was already on the landing stage. "
    "Nobody had told the children; they had simply followed the dogs, as they always did on such days."
)
CHINESE = "轮船绕过岬角的时候，凡是走得动的人都已经站在码头上了。没有人告诉孩子们，他们只是像往常一样跟着狗跑了过来。"
HINDI = "जब जहाज़ मोड़ पर आया तो जो भी चल सकता था वह घाट पर पहुँच चुका था और बच्चे कुत्तों के पीछे दौड़ रहे थे।"
STEPS = {
    "short": filters.LongEnough(40),
    "word": filters.NoEndlessWord(100),
    "lines": filters.FewRepeatedLines(0.3),
    "ngrams": filters.FewRepeatedNgrams(0.4, 6),
    "character": filters.NoRulingCharacter(0.3),
    "symbols": filters.FewSymbols(0.35),
}
BAD = {
    "short": ["ok", "好的，谢谢", ""],
    "word": [ENGLISH + " " + "QUJD" * 40],
    "lines": [ENGLISH + "\nSubscribe now to our newsletter" * 12, CHINESE + "\n点击这里领取优惠" * 12],
    "ngrams": ["all work and no play makes a dull toy " * 9, "买一送一，限时抢购。" * 12],
    "character": ["哈" * 50 + "好", "a a a a a b c"],
    "symbols": ["*** !!! ### $$$ ok", "！！？？……★★★☆☆好"],
}


def document(text: str) -> Document:
    return Document("1", text, "a.txt")


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("text", [ENGLISH, CHINESE, HINDI, ENGLISH + "\n" + CHINESE])
def test_good_text_in_any_script_passes_unchanged(name: str, text: str) -> None:
    good = document(text)
    assert STEPS[name](good) is good


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in BAD.items() for text in texts])
def test_poor_text_is_dropped_with_the_value_and_the_threshold(name: str, text: str) -> None:
    result = STEPS[name](document(text))
    assert isinstance(result, Drop)
    threshold = {
        "short": "40",
        "word": "100",
        "lines": "0.3",
        "ngrams": "0.4",
        "character": "0.3",
        "symbols": "0.35",
    }
    assert threshold[name] in result.detail


def test_a_chinese_character_counts_as_three() -> None:
    step = filters.LongEnough(30)
    assert isinstance(step(document("一二三四五六七八九")), Drop)
    assert isinstance(step(document("一二三四五六七八九十")), Document)
    assert isinstance(step(document("a" * 29)), Drop)


def test_languages_not_wanted_are_dropped_and_unknown_ones_named() -> None:
    step = filters.AllowedLanguage(("zh",))
    kept = step(document(CHINESE))
    assert isinstance(kept, Document)
    assert kept.language == "zh"
    german = Document("1", ENGLISH, "a.txt", language="de")
    assert step(german) == Drop("language", "de, only zh wanted")
    assert filters.AllowedLanguage(())(german) is german


def test_a_language_that_is_unsure_is_dropped_and_a_chinese_script_named() -> None:
    given = document("fine today")
    unsure = filters.AllowedLanguage((), min_confidence=0.99)(given)
    assert isinstance(unsure, Drop)
    assert unsure.reason == "unsure language"
    assert "at least 0.99" in unsure.detail
    assert isinstance(filters.AllowedLanguage((), min_confidence=0.0)(given), Document)
    told = Document("1", "fine today", "a.txt", language="en")
    assert filters.AllowedLanguage((), min_confidence=0.99)(told) is told  # its source says so
    chinese = filters.AllowedLanguage(("zh",), min_confidence=0.9)(document(CHINESE))
    assert isinstance(chinese, Document)
    assert chinese.extra == {"script": "Hans"}


def test_filters_decide_alike_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [ENGLISH, CHINESE, HINDI, *(text for texts in BAD.values() for text in texts)]
    native = [step(document(text)) for step in STEPS.values() for text in texts]
    measure.measure.cache_clear()
    monkeypatch.setattr(measure, "is_available", lambda: False)
    assert [step(document(text)) for step in STEPS.values() for text in texts] == native
    measure.measure.cache_clear()
