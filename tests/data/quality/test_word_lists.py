import pytest

from luban.data.quality.settings import WordSettings
from luban.data.quality.word_lists import CHINESE, ENGLISH, FewListedWords, check_lists, make_list, read_list
from luban.errors import ConfigError
from luban.records import Document, Drop


def document(text: str, language: str = "und") -> Document:
    return Document("1", text, "a.txt", language=language)


@pytest.mark.parametrize(
    "text",
    [
        "Scunthorpe, Essex and a cocktail with Dick Whittington; the shitake class assessed its cockpit.",
        "我国的出口交易和进口交货都要经过路口交通检查，窗口交接完毕。",
        "红色情怀，角色情感，特色情调；牛黄片两盒。请大家多做爱心公益。其他妈妈的话。",
        "人口交流与接口交互",
    ],
)
def test_innocent_texts_that_contain_the_letters_pass(text: str) -> None:
    for word_list in (read_list("en"), read_list("zh")):
        assert word_list.find(text) == []


def test_words_are_found_whole_and_in_any_case_and_characters_anywhere() -> None:
    assert read_list("en").find("Shit, that PORN again! Shitake.") == ["Shit", "PORN"]
    assert read_list("zh").find("这个色情网站和那个色情网站") == ["色情", "色情"]
    assert read_list("zh").find("這是色情網站，賤人") == ["色情", "賤人"]
    assert read_list("fr").find("merde") == []


def test_a_listed_word_beside_an_exception_still_counts() -> None:
    words = make_list(["口交", "!出口交", "!口交易"])
    assert words.find("出口交易") == []
    assert words.find("出口交易口交") == ["口交"]


@pytest.mark.parametrize(
    ("text", "language", "share"),
    [
        ("porn porn porn " + "word " * 97, "en", 0.03),
        ("色情色情色情" + "字" * 94, "zh", 0.06),
        ("porn porn porn " + "word " * 97, "und", 0.03),
        ("色情色情色情" + "字" * 94, "und", 0.06),
    ],
)
def test_documents_are_dropped_beyond_both_thresholds(text: str, language: str, share: float) -> None:
    def rule(count: int, most: float) -> FewListedWords:
        return FewListedWords(WordSettings(max_count=count, max_share=most))

    given = document(text, language)
    assert rule(2, share)(given) is given
    assert rule(3, 0)(given) is given
    dropped = rule(2, share - 0.001)(given)
    assert isinstance(dropped, Drop)
    assert dropped == Drop(
        "words: listed words",
        f"3 listed words, {share:g} of the words, at most 2 or {share - 0.001:.4g}",
    )
    assert "porn" not in dropped.detail


def test_a_list_of_ones_own_takes_the_place_of_the_built_in_one(tmp_path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("# nasty\n糟糕  # very\n\n!糟糕透顶\nbad word\n", "utf-8")
    words = read_list("zh", str(path))
    assert words.find("糟糕！糟糕透顶 A Bad Word, bad words, 色情") == ["糟糕", "Bad Word"]
    rule = FewListedWords(WordSettings(max_count=0, max_share=0), (("zh", str(path)),))
    assert isinstance(rule(document("真糟糕", "zh")), Drop)
    assert isinstance(rule(document("真糟糕", "en")), Document)
    (tmp_path / "empty.txt").write_text("# none\n", "utf-8")
    assert read_list("en", str(tmp_path / "empty.txt")).find("porn") == []


@pytest.mark.parametrize("raw", [None, b"\xff\xfe\x00bad"])
def test_a_list_that_cannot_be_read_is_named_before_any_work(tmp_path, raw) -> None:
    path = tmp_path / "words.txt"
    if raw is not None:
        path.write_bytes(raw)
    with pytest.raises(ConfigError, match=r"clean\.word_lists\.zh = .*words\.txt"):
        check_lists({"zh": str(path)})


def test_every_exception_of_the_built_in_lists_is_needed() -> None:
    entries = (ENGLISH + CHINESE).split()
    words = {e.lower() for e in entries if not e.startswith("!")}
    for exception in (e[1:] for e in entries if e.startswith("!")):
        assert any(word in exception for word in words), exception
    assert len(entries) == len(set(entries))
