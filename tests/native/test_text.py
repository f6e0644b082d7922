"""The native counts against their plain Python twins, on every kind of text."""

import random

import numpy as np
import pytest

from luban.data.quality import plain
from luban.data.quality.characters import character_classes
from luban.native import build
from luban.native import text as native

POOLS = {
    "latin": "ab .\n",
    "sentences": 'The cat sat. On a mat?! "So" (it) …#*-•\n',
    "chinese": "中文字，。！\n\u3000”",
    "mixed": "中文ab c.\n。 カタ한국 ",
    "no spaces": "กขค\u0e49ລາວ မြန် \n",
    "marks": "हिन्दी के दुःख। \u0301\n",
    "odd": "\U0001f600\U0010ffff\ud800\udfff\U000e0100\x85\xa0\u2028\x0b\x1c\u200b\ufeff\uff21A\u0130\xdf\r\n\t\0",
}


@pytest.fixture(autouse=True)
def _compiled(own_home):
    if not build.is_available():
        pytest.skip("there is no C++ compiler here")


def texts(pool: str, n: int = 120):
    rng = random.Random(len(pool))
    for i in range(n):
        letters = pool if i % 5 else "".join(chr(rng.randrange(0x110000)) for _ in range(30))
        if i % 2:
            words = ["".join(rng.choices(letters, k=rng.randrange(1, 6))) for _ in range(rng.randrange(1, 8))]
            yield rng.choice(["", " "]).join(rng.choices(words, k=rng.randrange(60)))
        else:
            yield "".join(rng.choices(letters, k=rng.randrange(80)))
    yield from ("", " ", "\n", pool, pool * 300, pool[0] * 5000)


@pytest.mark.parametrize("name", POOLS)
def test_counts_are_those_of_plain_python(name: str) -> None:
    for text in texts(POOLS[name]):
        assert native.count_text(text, character_classes()) == plain.count_text(text), repr(text)


@pytest.mark.parametrize("name", POOLS)
def test_repeated_ngrams_are_those_of_plain_python(name: str) -> None:
    for text in texts(POOLS[name]):
        assert native.count_repeats(text, character_classes()) == plain.count_repeats(text), repr(text)
        got = native.count_repeated_chars(text, character_classes(), 3)
        assert got == plain.count_repeated_chars(text, 3), repr(text)


@pytest.mark.parametrize("name", POOLS)
def test_kept_lines_are_those_of_plain_python(name: str) -> None:
    for text in texts(POOLS[name]):
        got = native.keep_lines(text, character_classes(), 2, 10, "at\n中")
        assert got == plain.keep_lines(text, 2, 10, ["at", "中"]), repr(text)


@pytest.mark.parametrize("name", POOLS)
def test_hashes_of_ngrams_are_those_of_plain_python(name: str) -> None:
    for text in (t.lower() for t in texts(POOLS[name])):
        got = native.hash_ngrams(text, character_classes(), 3, 2)
        assert got.tolist() == plain.hash_ngrams(text, 3, 2).tolist(), repr(text)
        assert native.count_distinct(got) == len(np.unique(got))


def test_a_word_more_changes_few_hashes_of_a_mixed_text() -> None:
    rng = random.Random(1)
    for share in (0.2, 0.34, 0.5):
        tokens = [
            chr(rng.randrange(0x4E00, 0x9FA5)) if rng.random() < share else f"w{i} " for i in range(300)
        ]
        edited = [*tokens[:150], "another ", *tokens[150:]]
        for hashes in (plain.hash_ngrams, lambda t, w, c: native.hash_ngrams(t, character_classes(), w, c)):
            one, other = (set(hashes("".join(text), 5, 3).tolist()) for text in (tokens, edited))
            assert len(one & other) >= 0.9 * len(one | other)


def test_words_of_a_spaced_text_are_those_of_split() -> None:
    text = "Two  words,\tand\u00a0three more…\n(all) of them"
    assert plain.split_words(text) == text.split()
    assert native.count_text(text, character_classes()).words == len(text.split())


def test_no_hash_of_a_short_word_is_that_of_another() -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = [a + b for a in ("", *letters) for b in letters] + [a * n for a in letters for n in range(3, 12)]
    counts = native.count_text("\n".join(words), character_classes())
    assert counts.lines == len(words) == len(set(words))
    assert counts.repeated_lines == 0
