"""Words and characters as tokens, in English and Chinese."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from luban.tokenizer import Tokenizer, load_tokenizer
from luban.tokenizer.words import choose_unit, train_words


def spelt(tokenizer: Tokenizer, text: str) -> list[str]:
    return [tokenizer.token(i) for i in tokenizer.encode(text)]


@pytest.mark.parametrize(
    ("unit", "text", "tokens"),
    [
        ("word", "The well-known cat's 3.5 naïve—ideas!", "the well-known cat's 3 5 naïve ideas"),
        ("word", "我 爱 北京，天安门", "我 爱 北京 天安门"),
        ("character", "我爱Python 3，don’t 不-用", "我 爱 python 3 don’t 不 用"),
        ("character", "ひらがなABCเก", "ひ ら が な abc เ ก"),
        ("word", "ＦＵＬＬ　ｗｉｄｔｈ e\u0301t\u00e9", "full width \u00e9t\u00e9"),
    ],
)
def test_texts_become_words_or_characters(unit: str, text: str, tokens: str) -> None:
    assert spelt(train_words([text], unit), text) == tokens.split()  # type: ignore[arg-type]


def test_rare_words_are_unknown_and_frequent_ones_come_first() -> None:
    tokenizer = train_words(["b a b c a b"], "word", min_count=2)
    assert [tokenizer.token(i) for i in range(tokenizer.vocab_size)] == ["<|pad|>", "<|unk|>", "b", "a"]
    assert tokenizer.encode("a c b") == [3, tokenizer.unk_id, 2]
    assert train_words(["b a b c a b"], "word", max_words=1).vocab_size == 3


def test_the_order_of_the_texts_does_not_decide_the_ids() -> None:
    words = [f"w{i}" for i in range(300)]
    first = train_words([" ".join(words)], "word").hash
    random.Random(1).shuffle(words)
    assert train_words(words, "word").hash == first


def test_case_is_kept_on_request() -> None:
    assert spelt(train_words(["The the"], "word", lowercase=False), "The the") == ["The", "the"]


def test_it_is_saved_and_loaded_with_its_special_tokens(tmp_path: Path) -> None:
    tokenizer = train_words(["我 爱 cats"], "word")
    tokenizer.save(tmp_path)
    again = load_tokenizer(tmp_path)
    assert again.hash == tokenizer.hash
    assert (again.pad_id, again.unk_id) == (0, 1)
    assert again.special_ids == {0, 1}
    assert again.encode("<|pad|> cats") == [again.unk_id, again.token_id("cats")]  # typed text stays text
    assert again.decode(again.encode("我 爱 Cats")) == "我 爱 cats"


@pytest.mark.parametrize(
    ("texts", "unit"),
    [
        (["我 爱 北京 天安门"], "word"),
        (["我爱北京天安门"], "character"),
        (["plain English, nothing else"], "word"),
        (["English with 北京 in it"], "word"),
        ([], "word"),
    ],
)
def test_the_unit_is_told_from_the_spaces(texts: list[str], unit: str) -> None:
    assert choose_unit(texts) == unit
