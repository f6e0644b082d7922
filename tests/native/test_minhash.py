from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence

import numpy as np
import pytest

from luban.data.characters import character_table
from luban.native import build, minhash
from luban.native import minhash_twin as twin
from luban.native.minhash import Texts

ALPHABETS = (
    "abc ABC  d\n",
    "的一是不了人我在 有他\n",
    "a的 b，。Ωßſ İ\u00a0\u3000\t",
    "กขค ꙮ😀 \U00020000\u0301_1२",
    " \n\t",
)
pytestmark = pytest.mark.skipif(not build.is_available(), reason="there is no compiler here")


def drawn(seed: int, n: int = 60) -> list[str]:
    rng = random.Random(seed)
    return ["".join(rng.choices(rng.choice(ALPHABETS), k=rng.choice((0, 1, 3, 40, 900)))) for _ in range(n)]


def packed(texts: Sequence[str], word: int = 2, char: int = 3) -> Texts:
    raws = [text.encode() for text in texts]
    offsets = np.cumsum([0, *map(len, raws)]).astype(np.int64)
    data = np.frombuffer(b"".join(raws), np.uint8)
    return Texts(data, offsets, character_table(), word, char)


def both(monkeypatch: pytest.MonkeyPatch, call: object) -> tuple[object, object]:
    native = call()  # type: ignore[operator]
    monkeypatch.setattr(minhash, "is_available", lambda: False)
    return native, call()  # type: ignore[operator]


@pytest.mark.parametrize("seed", range(4))
def test_keys_and_signatures_are_the_twins_bit_for_bit(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    rng = np.random.default_rng(seed)
    masks, factors = (rng.integers(0, 1 << 32, 40, dtype=np.uint32) | np.uint32(1) for _ in range(2))
    texts = packed(drawn(seed), 1 + seed, 1 + seed)
    native, plain = both(monkeypatch, lambda: minhash.sign(texts, masks, factors))
    np.testing.assert_array_equal(native[0], plain[0])  # type: ignore[index]
    np.testing.assert_array_equal(native[1], plain[1])  # type: ignore[index]


@pytest.mark.parametrize("seed", range(4))
def test_ngram_sets_and_their_similarities_are_the_twins(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    texts = packed([*drawn(seed), " ".join(map(str, range(3000)))], 2 + seed, 1 + seed)
    native, plain = both(monkeypatch, lambda: minhash.ngram_sets(texts))
    for one, other in zip(native, plain, strict=True):  # type: ignore[call-overload]
        np.testing.assert_array_equal(one, other)
    sets, ends = plain  # type: ignore[misc]
    bounds = np.stack([ends[:-1], ends[1:]], axis=1)
    pairs = np.random.default_rng(seed).integers(0, len(texts), (80, 2))
    slow = minhash.jaccard(sets, bounds, pairs)
    monkeypatch.undo()
    np.testing.assert_array_equal(minhash.jaccard(sets, bounds, pairs), slow)


@pytest.mark.parametrize("paragraphs", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_lines_and_paragraphs_are_the_twins(
    monkeypatch: pytest.MonkeyPatch, seed: int, paragraphs: bool
) -> None:
    texts = packed([*drawn(seed), "a\n\n\nb\n", "a\r\n\r\nb\n\r\n\rc\r\n\r", "\n\n", "a\n", "多\n\n字"])
    native, plain = both(monkeypatch, lambda: minhash.find_units(texts, paragraphs=paragraphs))
    for name in ("hashes", "places", "lengths"):
        np.testing.assert_array_equal(getattr(native, name), getattr(plain, name))


@pytest.mark.parametrize("size", [0, 1, 127, 128, 129, 256, 1000])
def test_the_exact_key_is_blake2b_of_the_folded_text(size: int) -> None:
    text = "Ab \t中" * size
    one = np.ones(1, np.uint32)
    keys, _ = minhash.sign(packed(["x", text]), one, one)
    same = " ".join(text.casefold().split())
    assert keys[1].tobytes() == hashlib.blake2b(same.encode(), digest_size=16).digest()


def test_words_make_ngrams_in_spaced_texts_and_characters_in_others() -> None:
    texts = packed(["One two, three", "one TWO (three)", "one two four", "天地玄黄", "天、地玄 黄"], 2, 2)
    sets, ends = minhash.ngram_sets(texts)
    found = [set(sets[a:b].tolist()) for a, b in zip(ends, ends[1:], strict=False)]
    assert [len(one) for one in found] == [2, 2, 2, 3, 3]
    assert found[0] == found[1]
    assert len(found[0] & found[2]) == 1
    assert found[3] == found[4]


@pytest.mark.parametrize("share", [0.0, 0.2, 0.34, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("native", [True, False])
def test_a_word_more_changes_few_ngrams_at_any_mix_of_scripts(
    monkeypatch: pytest.MonkeyPatch, share: float, native: bool
) -> None:
    monkeypatch.setattr(minhash, "is_available", lambda: native)
    rng = random.Random(round(100 * share))
    for word, char in ((2, 2), (5, 3)):
        tokens = [
            chr(rng.randrange(0x4E00, 0x9FA5)) if rng.random() < share else f"w{rng.randrange(10**6)} "
            for _ in range(300)
        ]
        for more in ("another ", "字"):
            edited = list(tokens)
            edited.insert(rng.randrange(300), more)
            sets, ends = minhash.ngram_sets(packed(["".join(tokens), "".join(edited)], word, char))
            assert twin.jaccard(sets[: ends[1]], sets[ends[1] :]) >= 0.9


def test_an_ngram_is_as_long_as_its_first_token_says() -> None:
    texts = packed(["one two 天地玄", "two 天 one 地玄黄 one two", "天地玄", "one two"], 2, 3)
    sets, ends = minhash.ngram_sets(texts)
    mixed, _, chinese, english = (set(sets[a:b].tolist()) for a, b in zip(ends, ends[1:], strict=False))
    assert len(mixed) == 3
    assert chinese | english < mixed


def test_bytes_that_are_no_utf8_do_no_harm() -> None:
    data = np.frombuffer(bytes(range(256)) + b"\xe4\xb8", np.uint8)
    texts = Texts(data, np.array([0, 100, 256, 258]), character_table(), 2, 2)
    assert len(minhash.ngram_sets(texts)[1]) == 4


def test_similarity_of_sets_is_what_sets_say() -> None:
    a, b = np.array([1, 3, 5], np.uint32), np.array([3, 4, 5, 9], np.uint32)
    assert twin.jaccard(a, b) == pytest.approx(2 / 5)
