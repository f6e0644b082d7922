"""The word vectors of a file, or of the stem of a model folder, with what they are vectors of."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from luban.log import Log
from luban.models.load import load_model
from luban.models.vectors import read_vectors
from luban.tokenizer import Tokenizer, load_tokenizer


def word_vectors(path: Path, log: Log | None = None) -> tuple[list[str], Tensor]:
    """Return words and their vectors (V, C) from a word2vec or GloVe file, or a model folder.

    Of a folder's tokens, special ones and blanks are left out; where a token that begins a word and
    one inside words have the same letters, the first is meant.
    """
    if not path.is_dir():
        return read_vectors(path, log)
    tokenizer = load_tokenizer(path)
    weight = load_model(path, log=log).stem.tokens.weight.detach()
    spelt = [tokenizer.piece(i) for i in range(min(tokenizer.vocab_size, len(weight)))]
    ids: dict[str, int] = {}
    for i in sorted(range(len(spelt)), key=lambda i: not spelt[i].startswith(" ")):
        if i not in tokenizer.special_ids and len(spelt[i].split()) == 1:
            ids.setdefault(spelt[i].strip(), i)
    chosen = sorted(ids.items(), key=lambda item: item[1])
    return [word for word, _ in chosen], weight[[i for _, i in chosen]]


def token_words(tokenizer: Tokenizer) -> list[str]:
    """Return what each token id stands for as a word, "" for special ones, to look its vector up."""
    ids = range(tokenizer.vocab_size)
    return ["" if i in tokenizer.special_ids else tokenizer.piece(i).strip() for i in ids]
