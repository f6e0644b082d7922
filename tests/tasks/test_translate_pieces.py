"""Long texts are cut at sentence ends, Chinese ones too, and put together again."""

import random

import pytest

from luban.errors import DataError
from luban.tasks.translate_pieces import joined, pieces, sentences


def within(n: int):
    return lambda text: len(text) <= n


def test_a_text_that_fits_is_left_whole_and_a_blank_one_has_no_pieces():
    assert pieces("One. Two.", within(20)) == ["One. Two."]
    assert pieces("  \t ", within(20)) == []


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("我来了。我走了！真的？", ["我来了。", "我走了！", "真的？"]),
        ("他说：“好。”然后走了。", ["他说：“好。”", "然后走了。"]),
        ("Tom came. Did he? Yes!", ["Tom came.", "Did he?", "Yes!"]),
        ('He said "No." Then he left.', ['He said "No."', "Then he left."]),
        ("Mr. Smith paid 3.50 dollars. Dr. No did not.", ["Mr. Smith paid 3.50 dollars.", "Dr. No did not."]),
        ("Das ist z.B. gut. Ja.", ["Das ist z.B. gut.", "Ja."]),
        ("Am 3. Mai kam Tom.", ["Am 3. Mai kam Tom."]),
        ("no end", ["no end"]),
    ],
)
def test_sentences_end_where_people_end_them(text, parts):
    assert sentences(text) == parts


def test_a_sentence_that_is_too_long_is_cut_at_commas_then_spaces_then_anywhere():
    assert pieces("红花，绿叶，蓝天，白云。", within(6)) == ["红花，绿叶，", "蓝天，白云。"]
    assert pieces("one two three, four five six seven.", within(15)) == [
        "one two three,",
        "four five six",
        "seven.",
    ]
    assert pieces("x" * 25, within(10)) == ["xxxxxx", "xxxxxx", "xxxxxx", "xxxxxxx"]


def test_nothing_but_spaces_is_lost():
    chance = random.Random(1)
    letters = "ab c，d。e. f! 中文“”g\t,"
    for _ in range(300):
        text = "".join(chance.choices(letters, k=chance.randint(0, 60)))
        parts = pieces(text, within(7))
        assert all(len(part) <= 7 for part in parts)
        assert "".join("".join(parts).split()) == "".join(text.split())


def test_pieces_are_joined_as_their_script_is_written():
    assert joined(["我来了。", "我走了。"]) == "我来了。我走了。"
    assert joined(["I came.", "I left."]) == "I came. I left."
    assert joined(["", "a", "", "b"]) == "a b"
    assert joined([]) == ""


def test_a_model_that_reads_nothing_is_an_error():
    with pytest.raises(DataError, match="cannot read even 'a'"):
        pieces("abc", lambda text: False)
