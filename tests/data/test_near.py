import itertools
import random

import numpy as np
import pytest

from luban.data.clusters import Pairs
from luban.data.near import near_clusters, similar_pairs
from luban.data.settings import DedupSettings
from luban.data.signatures import pack_texts, sign
from luban.native import minhash

WORDS = [
    a + b
    for a, b in itertools.product(
        ("ka", "lo", "mi", "ne", "ru", "sa", "to", "vi"), ("dan", "fel", "gor", "hup", "jes")
    )
]
HANZI = [chr(0x4E00 + 7 * i) for i in range(400)]


def text_of(rng: random.Random, chinese: bool, size: int = 80) -> list[str]:
    return rng.choices(HANZI if chinese else WORDS, k=size)


def edited(rng: random.Random, units: list[str], share: float, chinese: bool) -> list[str]:
    other = HANZI if chinese else WORDS
    return [rng.choice(other) if rng.random() < share else u for u in units]


def jaccard(a: str, b: str, n: int = 2) -> float:
    x, y = (ngrams(t, n) for t in (a, b))
    return len(x & y) / len(x | y)


def ngrams(text: str, n: int) -> set[tuple[str, ...]]:
    units = text.split() if " " in text else list(text)
    return {tuple(units[i : i + n]) for i in range(len(units) - n + 1)}


def pairs_of(texts: list[str], settings: DedupSettings) -> Pairs:
    return similar_pairs(texts, sign(pack_texts(texts, settings), settings), np.arange(len(texts)), settings)


@pytest.mark.parametrize("chinese", [False, True])
def test_planted_duplicates_are_found_and_nothing_else(chinese: bool) -> None:
    rng = random.Random(3)
    glue = "" if chinese else " "
    originals = [text_of(rng, chinese) for _ in range(150)]
    copies = [edited(rng, units, rng.choice([0.0, 0.02, 0.04, 0.3]), chinese) for units in originals]
    texts = [glue.join(units) for units in originals + copies]
    true = {(i, i + 150) for i in range(150) if jaccard(texts[i], texts[i + 150]) >= 0.8}
    near = near_clusters(texts, DedupSettings(threshold=0.8))
    found = {(original, i) for i, original in enumerate(near.duplicate_of) if original is not None}
    assert len(true) > 60
    assert len(found & true) >= 0.95 * len(true)
    assert len(found & true) >= 0.95 * len(found)
    for original, i in found:
        assert near.similarity[i] == pytest.approx(jaccard(texts[original], texts[i]))


def test_similar_texts_below_the_threshold_share_a_cluster_but_stay() -> None:
    rng = random.Random(5)
    units = text_of(rng, chinese=False, size=200)
    similar, other = edited(rng, units, 0.1, chinese=False), text_of(rng, chinese=False, size=200)
    near = near_clusters([" ".join(u) for u in (other, units, similar)], DedupSettings(threshold=0.9))
    assert near.duplicate_of == [None, None, None]
    assert near.cluster == [0, 1, 1]


def test_exact_copies_are_equal_but_for_case_and_whitespace() -> None:
    near = near_clusters(["One two  three four", "five six", "one two\nthree FOUR", "five six"])
    assert near.duplicate_of == [None, None, 0, 1]
    assert near.exact == [False, False, True, True]
    assert near.similarity[2:] == [1.0, 1.0]


def test_a_duplicate_is_always_near_a_text_that_is_kept() -> None:
    rng = random.Random(2)
    chain = [text_of(rng, chinese=False, size=120)]
    for _ in range(12):
        chain.append(edited(rng, chain[-1], 0.03, chinese=False))
    texts = [" ".join(u) for u in chain]
    near = near_clusters(texts)
    for i, original in enumerate(near.duplicate_of):
        if original is not None:
            assert near.duplicate_of[original] is None
            assert jaccard(texts[original], texts[i]) >= 0.7
    assert sum(d is None for d in near.duplicate_of) > 1
    assert set(near.cluster) == {0}


def test_many_copies_of_one_text_take_no_pairs_of_pairs() -> None:
    rng = random.Random(1)
    units = text_of(rng, chinese=False)
    texts = [" ".join([*units, f"row{i}"]) for i in range(600)]
    near = near_clusters(texts)
    assert set(near.cluster) == {0}
    assert sum(d is None for d in near.duplicate_of) == 1
    assert len(pairs_of(texts, DedupSettings()).left) < 10 * len(texts)


def test_every_pair_of_a_small_group_is_compared() -> None:
    rng = random.Random(6)
    units = text_of(rng, chinese=True)
    texts = ["".join(edited(rng, units, 0.02, chinese=True)) for _ in range(12)]
    found = pairs_of(texts, DedupSettings(bands=10, permutations=10))
    assert set(zip(found.left.tolist(), found.right.tolist(), strict=True)) == set(
        itertools.combinations(range(12), 2)
    )


def test_sketches_agree_as_often_as_the_sets_do() -> None:
    rng = random.Random(4)
    units = text_of(rng, chinese=True, size=400)
    errors = []
    for share in (0.02, 0.05, 0.1, 0.2, 0.4):
        pair = ["".join(units), "".join(edited(rng, units, share, chinese=True))]
        settings = DedupSettings(permutations=512, bands=32)
        one, other = sign(pack_texts(pair, settings), settings).sketches
        errors.append(float((one == other).mean()) - jaccard(*pair))
    assert max(map(abs, errors)) < 0.08
    assert abs(np.mean(errors)) < 0.03


def test_families_in_one_crowded_bucket_are_each_found() -> None:
    rng = random.Random(8)
    base = text_of(rng, chinese=False, size=300)
    families = [edited(rng, base, 0.12, chinese=False) for _ in range(12)]
    texts = [" ".join(edited(rng, families[i % 12], 0.01, chinese=False)) for i in range(120)]
    near = near_clusters(texts, DedupSettings(threshold=0.85, bands=60))
    missed = [
        (i, j)
        for i, j in itertools.combinations(range(120), 2)
        if near.duplicate_of[i] is None
        and near.duplicate_of[j] is None
        and jaccard(texts[i], texts[j]) >= 0.85
    ]
    assert missed == []


@pytest.mark.parametrize("text", ["", "   ", "!!!", "一", "word", "\ud800"])
def test_texts_of_next_to_nothing_have_a_shingle(text: str) -> None:
    sets, ends = minhash.ngram_sets(pack_texts([text], DedupSettings(word_ngram=3, char_ngram=3)))
    assert len(sets) == ends[1] == 1
    assert near_clusters([text, "another text altogether"]).duplicate_of == [None, None]


def test_no_texts_give_no_clusters() -> None:
    assert near_clusters([]).cluster == []
