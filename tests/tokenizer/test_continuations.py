"""Which tokens go on with a word, for each kind of tokenizer."""

from __future__ import annotations

import tokenizers
from tokenizers import decoders, models

from luban.tokenizer import Tokenizer
from luban.tokenizer.continuations import continues_word
from luban.tokenizer.train import train_bpe


def of(tokens: list[str]) -> list[str]:
    backend = tokenizers.Tokenizer(models.WordLevel({t: i for i, t in enumerate(tokens)}, tokens[0]))
    backend.decoder = decoders.WordPiece()
    flags = continues_word(Tokenizer(backend, {}))
    return [token for token, flag in zip(tokens, flags, strict=True) if flag]


def test_wordpiece_marks_them() -> None:
    assert of(["[UNK]", "play", "##ing", "##s", "!", "##", "人"]) == ["##ing", "##s"]


def test_sentencepiece_marks_the_others() -> None:
    assert of(["<unk>", "▁play", "ing", "7", ",", "▁", "人民"]) == ["ing", "7"]


def test_byte_level_tokens_go_on_without_a_space_a_sign_or_chinese() -> None:
    text = "the playing player plays the game (gamely). 人民人民人民 " * 20
    tokenizer = train_bpe([text], 320, template=False)
    flags = continues_word(tokenizer)
    assert len(flags) == tokenizer.vocab_size
    assert not any(flags[i] for i in tokenizer.special_ids)
    spelt = {tokenizer.token_bytes(i): flag for i, flag in enumerate(flags)}
    assert spelt[b"e"]
    assert spelt[b"\x8a"]  # inside a character
    assert not spelt[b" "]
    assert not spelt[b"("]
    assert not spelt[b"\xe4"]  # begins a character
    assert not spelt["人民".encode()]
    assert not spelt[b" play"]
