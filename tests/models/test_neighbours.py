"""Neighbours against cosines done by hand."""

from __future__ import annotations

import math

import pytest
import torch

from luban.errors import DataError
from luban.models.neighbours import neighbours

WORDS = ["east", "north", "north-east", "west", "King"]
MATRIX = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 3.0], [-1.0, 0.0], [0.1, -9.0]])


def test_neighbours_come_by_cosine_whatever_their_length() -> None:
    found = neighbours(WORDS, MATRIX, ["east"], n=3)
    assert [word for word, _ in found] == ["north-east", "King", "north"]
    assert found[0][1] == pytest.approx(1 / math.sqrt(2))
    assert found[2][1] == pytest.approx(0)


def test_sums_and_differences_weigh_each_word_alike() -> None:
    found = neighbours(WORDS, MATRIX, ["north-east"], ["north"], n=1)
    at_angle = torch.tensor([1 / math.sqrt(2), 1 / math.sqrt(2) - 1])
    assert found[0][0] == "east"
    assert found[0][1] == pytest.approx(float(at_angle[0] / at_angle.norm()))


def test_words_asked_about_are_left_out_and_few_words_are_enough() -> None:
    found = neighbours(WORDS, MATRIX, ["east", "north"], ["west"], n=10)
    assert {word for word, _ in found} == {"north-east", "King"}


def test_a_vector_of_zeros_is_no_ones_neighbour() -> None:
    found = neighbours(["a", "b", "c"], torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]), ["b"])
    assert [word for word, _ in found] == ["c", "a"]


@pytest.mark.parametrize(
    ("word", "fix"),
    [
        ("nort", "did you mean 'north'?"),
        ("EAST", "did you mean 'east'?"),
        ("zzzzzz", "ask about a word of the vocabulary"),
    ],
)
def test_an_unknown_word_is_answered_with_the_nearest_spelling(word: str, fix: str) -> None:
    with pytest.raises(DataError) as error:
        neighbours(WORDS, MATRIX, [word])
    assert error.value.problem == f"{word!r} is not among the 5 words"
    assert error.value.fix == fix


def test_an_unknown_chinese_word_is_answered_with_its_characters() -> None:
    with pytest.raises(DataError) as error:
        neighbours(["学", "校", "门"], torch.eye(3), ["学校"])
    assert error.value.fix == "did you mean '学' or '校'?"
