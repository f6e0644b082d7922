import itertools
import random

import pytest

from luban.data.normalise import (
    RepairUnicode,
    TidyWhitespace,
    normalise_steps,
    repair_unicode,
    tidy_whitespace,
)
from luban.data.settings import NormaliseSettings
from luban.records import Document, Drop

ftfy = pytest.importorskip("ftfy", reason="ftfy is not installed")
CHINESE = "灯塔看守人每天晚上都把天气记在本子上，字写得又小又工整，几十年来从没有间断过一天。"
FINE = [
    "café – naïve “quotes”",
    CHINESE,
    "Straße",
    "ﬁne ligature, ｗｉｄｅ letters",
    "привет, мир — “да”",
    "5 × 3 ± 1 °C, £10, © 2020",
    "می‌خواهم",
    "👩‍👩‍👧 🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "שלום \u200fabc",
    "  def f(x):\n\treturn x & 1\n",
]


def plain_ftfy(text: str) -> str:
    options = {"uncurl_quotes": False, "fix_character_width": False, "fix_latin_ligatures": False}
    return ftfy.fix_text(text, normalization="NFC", **options)


@pytest.mark.parametrize("text", FINE)
def test_mojibake_is_undone_and_good_text_comes_back_itself(text: str) -> None:
    assert repair_unicode(text) == text
    if text == CHINESE or "caf" in text:
        assert repair_unicode(text.encode().decode("latin-1")) == text
    assert repair_unicode("une belle journÃ©e d'Ã©tÃ©") == "une belle journée d'été"
    document = Document("1", text, "a.txt")
    assert RepairUnicode()(document) is document


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_chinese_with_a_byte_that_is_a_line_break_too_is_repaired(encoding: str) -> None:
    text = "全国公共关系学会\n其内其者：关于全体"
    assert repair_unicode(text.encode().decode(encoding, "strict")) == text
    assert repair_unicode("a\x85b\u2028c\x0bd\r\ne\rf") == "a\nb\nc\nd\ne\nf"


def test_what_ftfy_would_change_is_never_passed_over() -> None:
    """Pairs and triples of its characters, and sentences damaged at random, are judged as it judges them."""
    draw = random.Random(1)
    classes = ftfy.badness.MOJIBAKE_CATEGORIES.values()
    letters = ["a", "A", " ", "\n", "1", "中", "’"]
    for characters in classes:
        letters += [characters[0], characters[-1], draw.choice(characters)]
    letters = [c for c in letters if c != "-"] + list("ÂÃŒ√≈‚ÄвЂВβ€Ξā")
    triples = list(itertools.product(letters, repeat=3))
    for triple in draw.sample(triples, 15_000):
        text = "x " + "".join(triple) + " y"
        if plain_ftfy(text) != text:
            assert repair_unicode(text) != text, ascii(text)
    for _ in range(300):
        text = draw.choice([CHINESE, *FINE[:6]])
        cut = draw.randrange(len(text))
        damaged = text[:cut] + text[cut:].encode().decode(draw.choice(["latin-1", "cp1252"]), "replace")
        if plain_ftfy(damaged) != damaged:
            assert repair_unicode(damaged) != damaged, ascii(damaged)


def test_hidden_characters_go_and_characters_are_composed() -> None:
    assert repair_unicode("a\x00b\x07c\ufeffd\u200be\xadf\u2060g\ue000h\ufffci") == "abcdefghi"
    assert repair_unicode("ab\u202edc\u202c \u200eef\u2066g\u2069") == "abdc efg"
    assert repair_unicode("词\u200c语\u200d a\u200db") == "词语 ab"
    assert repair_unicode("hi\U000e0068\U000e0069!") == "hi!"
    assert repair_unicode("cafe\u0301") == "café"
    assert repair_unicode("one\r\ntwo\rthree\x0cfour\u2028five\x85six") == "one\ntwo\nthree\nfour\nfive\nsix"
    assert repair_unicode("broken \ud83d pair").encode()
    assert repair_unicode("ﬁｗ①", "NFKC") == "fiw1"
    assert repair_unicode("&lt;b&gt; AT&T R&D &copy;") == "<b> AT&T R&D ©"


def test_what_is_lost_in_chinese_is_marked_and_a_document_full_of_it_dropped() -> None:
    assert repair_unicode("叭、\ue455、吽 锟斤拷") == "叭、\ufffd、吽 \ufffd\ufffd"
    step = RepairUnicode(max_broken=0.1)
    assert isinstance(step(Document("1", CHINESE + "锟斤拷", "a.txt")), Document)
    dropped = step(Document("1", "天气锟斤拷锟斤拷", "a.txt"))
    assert isinstance(dropped, Drop)
    assert dropped.reason == "broken characters"
    assert dropped.detail == "4 of 6 characters are lost for good (U+FFFD, 锟斤拷), at most 10.0% may be"


def test_whitespace_is_tidied_but_indents_stay() -> None:
    messy = Document("1", "\n\n  def f():  \n      return 1\t\n\n\n\nend\u3000\n", "a.txt")
    result = TidyWhitespace()(messy)
    assert isinstance(result, Document)
    assert result.text == "def f():\n      return 1\n\nend"
    assert tidy_whitespace("a\xa0b\u2009c　d") == "a b c　d"


def test_words_that_a_line_end_broke_are_joined_only_when_asked() -> None:
    page = Document("1", "an exam-\n  ple of 1914-\n1918 and Jean-\nPaul，中文-\n中文", "a.txt")
    joined = TidyWhitespace(join_hyphens=True)(page)
    assert isinstance(joined, Document)
    assert joined.text == "an example of 1914-\n1918 and Jean-\nPaul，中文-\n中文"
    assert TidyWhitespace()(page) is page


def test_normalising_twice_is_normalising_once() -> None:
    draw = random.Random(2)
    pieces = [
        *FINE,
        "锟斤拷",
        "鈥淗i鈥?",
        "浣犲ソ",
        "ÄãºÃ",
        "Ã©",
        "&amp;lt;",
        "\x00",
        "\r",
        " \n",
        "\n\n\n",
        "\u200d",
        "\xad",
        "\u202e",
        "e\u0301",
    ]
    for _ in range(300):
        text = "".join(draw.choices(pieces, k=4))
        once = tidy_whitespace(repair_unicode(text))
        again = tidy_whitespace(repair_unicode(once))
        assert tidy_whitespace(once) == once
        assert again == once or "&" in once, ascii((text, once, again))


def test_only_the_steps_that_are_asked_for_are_taken() -> None:
    def names(**settings: object) -> list[str]:
        return [step.name for step in normalise_steps(NormaliseSettings(**settings))]  # type: ignore[arg-type]

    assert names() == ["unicode", "whitespace"]
    everything = names(narrow=True, chinese_script="simplified", form="NFKC", join_hyphens=True)
    assert everything == ["unicode", "typography", "chinese script", "whitespace"]
