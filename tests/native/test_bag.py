"""The native bag of n-grams counts as scikit-learn does, in words and in characters."""

import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from luban.native.bag import NativeBag, character_classes
from luban.native.build import is_available
from luban.tasks.bag_model import vectoriser

pytestmark = pytest.mark.skipif(not is_available(), reason="there is no compiler")
sklearn = pytest.importorskip("sklearn", reason="scikit-learn is not installed")

ALPHABET = [
    "a",
    "B",
    "İ",
    "é",
    "e\u0301",
    "_",
    "7",
    " ",
    "  ",
    "\n\n",
    "\t",
    "\u3000",
    "!",
    "?",
    ".",
    "中",
    "文",
    "の",
    "一",
]
ALPHABET += ["😀", "𝔘", "कि", "\ud800", "ǅ", "ß", "don't"]


def texts(n: int, seed: int) -> list[str]:
    chance = random.Random(seed)
    return ["".join(chance.choices(ALPHABET, k=chance.randrange(60))) for _ in range(n)]


def made(by_character: bool, ngrams: int, labels: int) -> tuple[NativeBag, Any]:
    counter = vectoriser(by_character, ngrams + by_character)
    counter.fit(texts(200, 1))
    features = sorted(counter.vocabulary_, key=counter.vocabulary_.__getitem__)
    draw = np.random.default_rng(0)
    weights, bias = draw.normal(size=(labels, len(features))), draw.normal(size=labels)
    word = None if by_character else counter.token_pattern
    bag = NativeBag(features, counter.idf_, weights, bias, word=word, ngrams=counter.ngram_range[1])
    return bag, lambda given: np.asarray(counter.transform(given) @ weights.T + bias)


@pytest.mark.parametrize("by_character", [False, True])
@pytest.mark.parametrize(("ngrams", "labels"), [(1, 2), (2, 3), (3, 7)])
def test_logits_are_those_of_scikit_learn(by_character: bool, ngrams: int, labels: int) -> None:
    bag, theirs = made(by_character, ngrams, labels)
    given = [*texts(300, 2), "", " ", "x", "中"]
    np.testing.assert_allclose(bag.logits(given), theirs(given), rtol=1e-10, atol=1e-12)


def test_several_threads_count_apart() -> None:
    bag, _ = made(False, 2, 2)
    given = [text * 50 for text in texts(50, 3)]
    alone = bag.logits(given)
    with ThreadPoolExecutor(4) as pool:
        for together in pool.map(bag.logits, [given] * 8):
            np.testing.assert_array_equal(together, alone)


def test_classes_tell_words_from_characters_that_stand_alone() -> None:
    classes = character_classes(vectoriser(False, 2).token_pattern)
    assert [classes[ord(c)] for c in "a_7é ,中!?"] == [1, 1, 1, 1, 0, 0, 2, 2, 2]
