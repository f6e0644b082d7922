"""Each published rule at both sides of its threshold; what is judged, and what a drop tells."""

from dataclasses import replace

import pytest

from luban.data.quality.c4 import C4
from luban.data.quality.chinese import Chinese
from luban.data.quality.fineweb import FineWeb
from luban.data.quality.gopher import Gopher
from luban.data.quality.rules import quality_steps
from luban.data.quality.settings import C4Settings, ChineseSettings, FineWebSettings, GopherSettings
from luban.data.settings import CleanSettings
from luban.records import Document, Drop

LOOSE = GopherSettings(
    min_words=0, min_mean_word=0, max_mean_word=1e9, max_hashes=1e9, max_ellipses=1e9, max_bullet_lines=1,
    max_ellipsis_lines=1, min_alpha_words=0, min_stop_words=0, max_repeated_lines=1, max_repeated_paragraphs=1,
    max_repeated_line_chars=1, max_repeated_paragraph_chars=1, max_top_2gram=1, max_top_3gram=1, max_top_4gram=1,
    max_repeated_5grams=1, max_repeated_6grams=1, max_repeated_7grams=1, max_repeated_8grams=1,
    max_repeated_9grams=1, max_repeated_10grams=1,
)  # fmt: skip
LOOSE_FINEWEB = FineWebSettings(min_terminal_lines=0, max_repeated_line_chars=1, max_short_lines=1)
LOOSE_CHINESE = ChineseSettings(
    min_chars=0, min_mean_line=0, min_chinese=0, max_repeated_ngrams=1, min_terminal_lines=0,
    max_repeated_lines=1, min_function_words=0,
)  # fmt: skip

UNIQUE = " ".join(
    f"{a}{b}word" for a in "abcdefghij" for b in "klmnopqrst"
)  # 100 different words of 6 letters
TEN = " ".join("abcdefghij")


def english(text: str) -> Document:
    return Document("1", text, "a.txt", language="en")


def chinese(text: str) -> Document:
    return Document("1", text, "a.txt", language="zh")


def repeated(n: int) -> str:
    """n words twice, among words that are there once: 2n of 40 words, all of one letter or two."""
    words = [f"{a}{b}" for a in "abcdefg" for b in "hijklmn"]
    return " ".join([*words[:n], *words[n : 40 - n], *words[:n]])


GOPHER = [
    # field, the text's value, text
    ("min_words", 100, UNIQUE),
    ("max_words", 100, UNIQUE),
    ("min_mean_word", 6, UNIQUE),
    ("max_mean_word", 6, UNIQUE),
    ("max_hashes", 0.5, "#one two #three four"),
    ("max_ellipses", 0.5, "well... then"),
    ("max_ellipses", 0.5, "well… then"),
    ("max_bullet_lines", 0.5, "• one\nand another"),
    ("max_bullet_lines", 0.5, "- one\nand another"),
    ("max_ellipsis_lines", 0.5, "to be continued...\nand here it ends."),
    ("max_ellipsis_lines", 0.5, "to be continued… \nand here it ends."),
    ("min_alpha_words", 0.75, "one two three 444"),
    ("min_stop_words", 2, "The cat, with a hat."),
    ("max_repeated_lines", 0.25, "aa\nbb\naa\ncc"),
    ("max_repeated_paragraphs", 0.25, "aa\nbb\n\ncc\n\naa\nbb\n \ndd"),
    ("max_repeated_line_chars", 0.4, "four\nab\nfour"),
    ("max_repeated_paragraph_chars", 0.4, "ab\ncd\n\nef\n\nab\ncd"),
    ("max_top_2gram", 0.5, "a b c d a b e f"),
    ("max_top_3gram", 0.75, "a b c d a b c f"),
    ("max_top_4gram", 0.8, "a b c d e a b c d f"),
    ("max_repeated_5grams", 0.125, repeated(5)),
    ("max_repeated_6grams", 0.15, repeated(6)),
    ("max_repeated_7grams", 0.175, repeated(7)),
    ("max_repeated_8grams", 0.2, repeated(8)),
    ("max_repeated_9grams", 0.225, repeated(9)),
    ("max_repeated_10grams", 0.25, repeated(10)),
]


@pytest.mark.parametrize(("field", "value", "text"), GOPHER)
def test_gopher_keeps_at_the_threshold_and_drops_beyond_it(field: str, value: float, text: str) -> None:
    step = 1 if isinstance(value, int) and "mean" not in field else 0.01
    beyond = value + step if field.startswith("min") else value - step
    at = Gopher(replace(LOOSE, **{field: value}))
    assert at(english(text)) == english(text)
    dropped = Gopher(replace(LOOSE, **{field: beyond}))(english(text))
    assert isinstance(dropped, Drop)
    assert dropped.reason.startswith("gopher: ")
    assert f"{value:g} " in dropped.detail
    assert dropped.detail.endswith(f"{beyond:.4g}")


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("min_terminal_lines", 0.25, "It ends.\nit does not\nnor this\nnor that"),
        ("max_repeated_line_chars", 0.4, "four\nab\nfour"),
        ("max_short_lines", 0.5, "short\n" + "a line of thirty characters or more"),
    ],
)
def test_fineweb_keeps_at_the_threshold_and_drops_beyond_it(field: str, value: float, text: str) -> None:
    beyond = value + 0.01 if field.startswith("min") else value - 0.01
    assert FineWeb(replace(LOOSE_FINEWEB, **{field: value}))(english(text)) == english(text)
    dropped = FineWeb(replace(LOOSE_FINEWEB, **{field: beyond}))(english(text))
    assert isinstance(dropped, Drop)
    assert dropped.reason.startswith("fineweb: ")
    assert f"{value:g} " in dropped.detail
    assert dropped.detail.endswith(f"{beyond:g}")


def test_a_line_of_thirty_characters_is_not_short() -> None:
    rule = FineWeb(replace(LOOSE_FINEWEB, max_short_lines=0))
    assert isinstance(rule(english("a" * 29 + ".")), Document)
    assert isinstance(rule(english("a" * 28 + ".")), Drop)


SENTENCE = "我们在河边走了很久，看见了许多有趣的东西。"
CHINESE_RULES = [
    ("min_mean_line", 5.0, "一二三四五\n六七八九十"),
    ("min_chinese", 0.5, "汉字 ab"),
    ("max_repeated_ngrams", 0.25, "一二三四五六七八一二三"),
    ("min_terminal_lines", 0.5, "一句话。\n半句话"),
    ("max_repeated_lines", 0.25, "甲\n乙\n甲\n丙"),
    ("min_function_words", 2, "在家的人"),
]


@pytest.mark.parametrize(("field", "value", "text"), CHINESE_RULES)
def test_chinese_rules_keep_at_the_threshold_and_drop_beyond_it(field: str, value: float, text: str) -> None:
    settings = replace(LOOSE_CHINESE, ngram=3)
    step = 1 if isinstance(value, int) else 0.01
    beyond = value + step if field.startswith("min") else value - step
    if field == "max_repeated_ngrams":
        value, beyond = 2 / 9, 0.2
    assert Chinese(replace(settings, **{field: value}))(chinese(text)) == chinese(text)
    dropped = Chinese(replace(settings, **{field: beyond}))(chinese(text))
    assert isinstance(dropped, Drop)
    assert dropped.reason.startswith("chinese: ")
    assert f"{value:.4g} " in dropped.detail
    assert f"{beyond:g}" in dropped.detail


def test_a_chinese_text_of_199_characters_is_too_short() -> None:
    text = "".join(chr(0x4E00 + i) for i in range(199))
    rule = Chinese(replace(LOOSE_CHINESE, min_chars=200))
    assert rule(chinese(text)) == Drop("chinese: short", "199 characters, at least 200")
    assert isinstance(rule(chinese(text + "。")), Document)


GOOD = "One two three four five. Six seven!\nA second line, with a question?\nAnd he said, “a third line.”"


def test_c4_keeps_lines_that_are_sentences() -> None:
    text = f"Menu\n{GOOD}\nThis line does not end with a mark\nIt goes on like this and on...\nToo short.\n"
    kept = C4(C4Settings())(english(text))
    assert isinstance(kept, Document)
    assert kept.text == GOOD
    assert C4(C4Settings())(english(GOOD)) == english(GOOD)


@pytest.mark.parametrize(
    ("line", "field", "kept", "dropped"),
    [
        ("One two three four five.", "min_line_words", 5, 6),
        ("One two three four longest.", "max_word_chars", 8, 7),
        ("Please read our Privacy Policy before you go.", "unwanted_in_lines", (), ("privacy policy",)),
    ],
)
def test_c4_takes_out_lines_at_the_threshold(line: str, field: str, kept: object, dropped: object) -> None:
    loose = C4Settings(min_line_words=0, max_word_chars=1000, min_sentences=1, unwanted_in_lines=())
    assert C4(replace(loose, **{field: kept}))(english(line)) == english(line)
    assert C4(replace(loose, **{field: dropped}))(english(line)) == Drop(
        "c4: few sentences", "0 sentences in the 0 of 1 lines that stay, at least 1"
    )


def test_c4_counts_sentences_and_takes_out_citations() -> None:
    loose = C4Settings(min_line_words=0, min_sentences=4)
    assert isinstance(C4(loose)(english(GOOD)), Document)  # two, one and one
    assert C4(replace(loose, min_sentences=5))(english(GOOD)) == Drop(
        "c4: few sentences", "4 sentences in the 3 of 3 lines that stay, at least 5"
    )
    cited = C4(C4Settings(min_sentences=1))(
        english("It costs 3.50 in town[12] (so they say.)[citation needed].")
    )
    assert isinstance(cited, Document)
    assert cited.text == "It costs 3.50 in town (so they say.)."


@pytest.mark.parametrize("bad", ["int main() { }", "Lorem Ipsum dolor sit amet, and so on."])
def test_c4_drops_code_and_placeholders(bad: str) -> None:
    dropped = C4(C4Settings())(english(f"{GOOD}\n{bad}"))
    assert isinstance(dropped, Drop)
    assert "1 times" in dropped.detail


@pytest.mark.parametrize("step", [Gopher(GopherSettings()), C4(C4Settings()), FineWeb(FineWebSettings())])
def test_english_rules_let_other_languages_pass(step) -> None:
    german = Document("1", "kurz", "a.txt", language="de")
    assert step(german) is german
    assert isinstance(step(replace(german, language="en")), Drop)
    everywhere = type(step)(replace(step.settings, languages=()))
    assert isinstance(everywhere(german), Drop)
    assert Chinese(ChineseSettings())(german) is german


EMPTY = ["", " \n ", "\u3000", "。", "a", "#", "\ud800"]


@pytest.mark.parametrize("text", EMPTY)
@pytest.mark.parametrize(
    "step",
    [Gopher(LOOSE), C4(C4Settings()), FineWeb(LOOSE_FINEWEB), Chinese(LOOSE_CHINESE)],
    ids=lambda s: s.name,
)
def test_texts_of_nothing_are_judged_without_an_error(step, text: str) -> None:
    assert isinstance(
        step(Document("1", text, "a.txt", language="zh" if step.name == "chinese" else "en")), Document | Drop
    )


def test_good_texts_in_both_languages_pass_every_set() -> None:
    prose = (
        "When the steamer came round the point, everybody who could walk was already on the landing stage. "
        "Nobody had told the children; they had simply followed the dogs, as they always did on such days.\n"
        "The captain had a letter to be read at once, and he gave it to the oldest of them. She opened it with "
        "care! It said that the bridge across the river had been closed, and that nobody knew for how long."
    )
    zh = SENTENCE + (
        "风把帆吹得鼓鼓的，船夫说今年的水比往年大。孩子们不肯回家，一直等到太阳落山。"
        "第二天下起了雨，路上没有行人，只有几只鸭子在田里走来走去。老人坐在门口抽烟，他说这样的天气不会太久。"
        "果然，到了下午云就散了，山也看得清楚了。我们收拾好行李，沿着小路往车站走。车来得很晚，但是谁也不着急，"
        "因为站台旁边有一棵很大的树，树下的石凳又干净又凉快。有人讲起了从前的故事，大家听得都忘了时间。"
    )
    steps = quality_steps(CleanSettings(rules=("gopher", "c4", "fineweb", "chinese", "words")))
    for text, language in ((prose, "en"), (zh, "zh")):
        document: Document | Drop = Document("1", text, "a.txt")
        for step in steps:
            assert isinstance(document, Document), document
            document = step(document)
        assert isinstance(document, Document), document
        assert document.language == language
        assert document.text == text


def test_rules_are_applied_in_the_order_asked_for_and_word_lists_bring_their_rule(tmp_path) -> None:
    (tmp_path / "words.txt").write_text("糟糕\n", "utf-8")
    settings = CleanSettings(rules=("c4", "gopher"), word_lists={"zh": str(tmp_path / "words.txt")})
    assert [step.name for step in quality_steps(settings)][-4:] == ["language", "c4", "gopher", "words"]
    assert [step.name for step in quality_steps(CleanSettings())][-1] == "language"
