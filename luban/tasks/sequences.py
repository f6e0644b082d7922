"""Texts as token sequences that a model can take: encoded in one go, cut where too long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from luban.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Sequences:
    """Token ids by text, and how many texts were cut."""

    ids: list[list[int]]
    n_cut: int

    @property
    def n_tokens(self) -> int:
        """Tokens in all texts together."""
        return sum(map(len, self.ids))


def encode_texts(tokenizer: Tokenizer, texts: Sequence[str], max_len: int) -> Sequences:
    """Encode texts with the tokenizer's template and cut them to `max_len` tokens.

    An empty text becomes one end token, so that every text has a vector.
    """
    empty = next((i for i in (tokenizer.eos_id, tokenizer.unk_id, tokenizer.pad_id) if i is not None), 0)
    encoded = [ids or [empty] for ids in tokenizer.encode_batch(list(texts), special=True)]
    n_cut = sum(len(ids) > max_len for ids in encoded)
    return Sequences([cut(ids, max_len, tokenizer.sep_id) for ids in encoded], n_cut)


def cut(ids: list[int], max_len: int, sep_id: int | None = None) -> list[int]:
    """Cut a sequence to `max_len` tokens, keeping the separator that its template ends with.

    cut([CLS, a, b, SEP], 3, SEP) -> [CLS, a, SEP]
    """
    if len(ids) <= max_len:
        return ids
    if sep_id is not None and ids[-1] == sep_id:
        return [*ids[: max_len - 1], sep_id]
    return ids[:max_len]
