import sys

import pytest

from luban.data.language import count_cjk, detect_language, is_unspaced
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
        ("12345 67890 --", "und"),
        ("", "und"),
    ],
)
def test_languages_are_told_apart(text: str, language: str) -> None:
    assert detect_language(text) == language


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
