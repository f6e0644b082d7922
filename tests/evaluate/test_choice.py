"""Questions with choices, in English and Chinese, answered by probability; bad rows are set aside."""

import math

import pytest

from luban.evaluate import choice
from luban.evaluate.choice import answer_questions, chance, read_choices
from luban.evaluate.likelihood import Likelihood

ROWS = [
    {
        "id": "a",
        "subject": "s",
        "context": "Two men.",
        "question": "Who?",
        "choices": ["He", "She and he"],
        "answer": 1,
    },
    {"id": "b", "question": "哪个城市？", "choices": ["北京", "上海", "天津"], "answer": "C"},
]


def test_prompts_are_in_the_language_of_the_question():
    first, second = read_choices(ROWS).questions
    assert first.prompt == "Two men.\nWho?\nAnswer:"
    assert first.rests == (" He", " She and he")
    assert second.prompt == "哪个城市？\n答案："
    assert second.rests == ("北京", "上海", "天津")
    assert chance([first, second]) == pytest.approx((1 / 2 + 1 / 3) / 2)


def test_letters_stand_in_the_question_and_are_the_answers():
    first, second = read_choices(ROWS, show="letter").questions
    assert first.prompt == "Two men.\nWho?\nA. He\nB. She and he\nAnswer:"
    assert first.rests == (" A", " B")
    assert second.rests == ("A", "B", "C")


@pytest.mark.parametrize(
    ("answer", "expected"), [(1, 1), (1.0, 1), ("B", 1), ("b", 1), ("0", 0), ("She and he", 1)]
)
def test_the_right_choice_may_be_named_in_several_ways(answer, expected):
    assert read_choices([{**ROWS[0], "answer": answer}]).questions[0].answer == expected


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"answer": 2}, "answer = 2 is none of the 2 choices, counted from 0"),
        ({"answer": -1}, "answer = -1"),
        ({"answer": None}, "answer = None"),
        ({"answer": True}, "answer = True"),
        ({"choices": ["He"]}, "there are 1 choices, and a question needs 2 to 26"),
        ({"choices": "He"}, "there are 0 choices"),
        ({"choices": ["He", "He"]}, "two choices are alike"),
        ({"choices": ["He", ""]}, "a choice is no text, or empty"),
        ({"choices": ["He", None]}, "a choice is no text"),
        ({"question": " "}, "is no text"),
        ({"question": 5}, "question = 5 is no text"),
    ],
)
def test_rows_that_cannot_be_asked_are_set_aside_with_the_reason(change, reason):
    found = read_choices([ROWS[1], {**ROWS[0], **change}])
    assert len(found.questions) == 1
    assert found.rejects[0]["line"] == 2
    assert reason in found.rejects[0]["reason"]


def test_length_decides_as_each_metric_says(monkeypatch, tiny_writer):
    """The short answer has more probability in all, the long one more for each byte and token."""
    values = iter([Likelihood(-4.0, False, 1), Likelihood(-6.0, False, 3)])
    monkeypatch.setattr(choice, "likelihoods", lambda *_: [next(values), next(values)])
    (row,), _ = answer_questions(*tiny_writer, read_choices(ROWS[:1]).questions)
    assert row["score"] == {"accuracy": 0.0, "accuracy_per_byte": 1.0, "accuracy_per_token": 1.0}
    assert (row["label"], row["predicted"]) == ("She and he", "He")
    assert row["probability"] == pytest.approx(1 / (1 + math.exp(-2)))


def test_choices_longer_than_the_context_are_set_aside(tiny_writer):
    long = {**ROWS[0], "choices": ["He", "no " * 500]}
    rows, rejects = answer_questions(*tiny_writer, read_choices([long, ROWS[1]]).questions)
    assert [row["id"] for row in rows] == ["b"]
    assert "tokens, and the model reads 64" in rejects[0]["reason"]
