"""Edit similarity by definition, and the n-gram floor as a probability."""

from __future__ import annotations

import pytest

from luban.evaluate.code_ngrams import Cached, Ngrams
from luban.evaluate.completion import distance, edit_similarity, rest_of_line


@pytest.mark.parametrize(
    ("first", "second", "edits"),
    [
        ("", "", 0),
        ("abc", "abc", 0),
        ("", "abc", 3),
        ("kitten", "sitting", 3),
        ("总数", "总和", 1),
        ("ab", "ba", 2),
    ],
)
def test_distance_is_the_fewest_edits_both_ways(first: str, second: str, edits: int) -> None:
    assert distance(first, second) == distance(second, first) == edits


def test_similarity_goes_from_nothing_to_equal() -> None:
    assert edit_similarity("", "") == edit_similarity("x = 1", "x = 1") == 1
    assert edit_similarity("abc", "xyz") == 0
    assert edit_similarity("kitten", "sitting") == pytest.approx(4 / 7)
    assert rest_of_line("(x):  \n    pass") == "(x):"


def learnt(ids: list[int], order: int = 4, vocab: int = 5) -> Ngrams:
    model = Ngrams(order, vocab)
    for at in range(len(ids)):
        model.add(ids, at)
    return model


def test_probabilities_add_up_to_one_after_every_context() -> None:
    model = learnt([0, 1, 2, 0, 1, 3, 0, 1, 2, 2])
    cached = Cached(model, 0.3)
    for at in range(3):
        cached.cache.add([4, 1, 1], at)
    for before in ([], [0], [0, 1], [4, 4, 4], [2, 0, 1], [1, 1]):
        for made in (model, cached):
            assert sum(made.probability(before, t) for t in range(5)) == pytest.approx(1)
    assert model.probability([0, 1], 4) > 0


def test_longer_contexts_and_the_file_itself_count_more() -> None:
    model = learnt([0, 1, 2, 0, 1, 2, 3, 1, 4, 3, 1, 4])
    assert model.probability([0, 1], 2) > 0.5 > model.probability([3, 1], 2)
    cached = Cached(model, 0.5)
    assert cached.likeliest([3, 1]) == 4
    for at in range(6):
        cached.cache.add([3, 1, 0, 3, 1, 0], at)
    assert cached.likeliest([3, 1]) == 0
    assert cached.likeliest([3, 1], {2, 4}) == 4
