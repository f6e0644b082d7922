"""Whole words as tokens, or single characters: what word vectors are learned for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

import tokenizers
from tokenizers import models, normalizers, pre_tokenizers, trainers

from luban.tokenizer.load import Tokenizer

Unit = Literal["word", "character"]
PAD, UNKNOWN = "<|pad|>", "<|unk|>"
_LETTER = r"[\p{L}\p{M}\p{N}]"
_SINGLE = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]"
_JOINED = r"['’\-]"
PATTERNS: dict[Unit, str] = {
    "word": rf"{_LETTER}+(?:{_JOINED}{_LETTER}+)*",
    "character": rf"{_SINGLE}|(?:(?!{_SINGLE}){_LETTER})+(?:{_JOINED}(?:(?!{_SINGLE}){_LETTER})+)*",
}
"""Words end at spaces and punctuation. In units of characters, those of scripts without spaces stand
alone, and other words stay whole."""
_HAN_RUN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff]+")
SEGMENTED = 2.5
"""Chinese with spaces between words comes in runs of fewer characters than this, on average."""


def choose_unit(sample: Iterable[str]) -> Unit:
    """Return "character" for texts with Chinese that is not divided into words by spaces, else "word"."""
    runs = [len(run) for text in sample for run in _HAN_RUN.findall(text)]
    return "character" if runs and sum(runs) / len(runs) >= SEGMENTED else "word"


def train_words(
    texts: Iterable[str],
    unit: Unit,
    *,
    min_count: int = 1,
    max_words: int = 1_000_000,
    lowercase: bool = True,
) -> Tokenizer:
    """Make a tokenizer of the words that the texts hold at least `min_count` times, frequent ones first.

    Other words become <|unk|>; punctuation and spaces are left out.
    """
    backend = tokenizers.Tokenizer(models.WordLevel({PAD: 0, UNKNOWN: 1}, unk_token=UNKNOWN))
    steps = [normalizers.NFKC(), *([normalizers.Lowercase()] if lowercase else [])]
    backend.normalizer = normalizers.Sequence(steps)
    backend.pre_tokenizer = pre_tokenizers.Split(
        tokenizers.Regex(PATTERNS[unit]), behavior="removed", invert=True
    )
    trainer = trainers.WordLevelTrainer(
        vocab_size=max_words + 2,
        min_frequency=min_count,
        special_tokens=[PAD, UNKNOWN],
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "pad_token": PAD,
        "unk_token": UNKNOWN,
    }
    return Tokenizer(backend, config)
