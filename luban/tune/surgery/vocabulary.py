"""A model's rows for the tokens of another tokenizer."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from luban.errors import DataError
from luban.models.changes import replace_rows, set_config
from luban.models.model import Model


class Vocabulary(Protocol):
    """What is asked of a tokenizer; luban.tokenizer.Tokenizer has it all."""

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text."""

    def decode(self, ids: Sequence[int], skip_special: bool = True) -> str:
        """Return the text of ids."""

    def token(self, id: int) -> str:
        """Return a token as the vocabulary spells it."""

    def token_id(self, token: str) -> int | None:
        """Return the id of a token."""

    @property
    def vocab_size(self) -> int:
        """Tokens in all."""


def extend_vocabulary(model: Model, old_tokenizer: Vocabulary, new_tokenizer: Vocabulary) -> Model:
    """Give `model` the rows that a new tokenizer's ids ask for, in place.

    A token that both know keeps its row, wherever it stands now; a new one begins with the mean of the
    rows by which the old tokenizer spells it, and a special one with the mean of all.
    """
    n_rows = model.config.vocab_size
    if old_tokenizer.vocab_size > n_rows:
        raise DataError(
            f"the old tokenizer has {old_tokenizer.vocab_size} tokens, and the model {n_rows} rows for them",
            fix="give the tokenizer that the model was trained with",
        )
    sources = [_sources(i, old_tokenizer, new_tokenizer) for i in range(new_tokenizer.vocab_size)]

    def rows(name: str, table: Tensor) -> Tensor:
        first = torch.tensor([ids[0] if ids else 0 for ids in sources], device=table.device)
        chosen = table[first]  # one row alone is copied, so that it stays as it is to the bit
        mean = table[: old_tokenizer.vocab_size].mean(0)
        for i, ids in enumerate(sources):
            if len(ids) != 1:
                chosen[i] = table[ids].mean(0) if ids else mean
        return chosen

    replace_rows(model, rows, new_tokenizer.vocab_size)
    roles: dict[str, Any] = {}
    for role in ("pad_id", "bos_id", "eos_id", "start_id"):
        before = getattr(model.config, role)
        after = None if before is None else new_tokenizer.token_id(old_tokenizer.token(before))
        named = getattr(new_tokenizer, role, None)
        roles[role] = named if named is not None else after
    set_config(model, dataclasses.replace(model.config, **roles))
    return model


def _sources(id: int, old: Vocabulary, new: Vocabulary) -> list[int]:
    """Return the old ids that a new one takes its row from; none for what stands for no text."""
    token = new.token(id)
    same = old.token_id(token)
    if same is not None:
        return [same]
    text = new.decode([id]).removeprefix("##")  # "" of a special token; a WordPiece that goes on
    if "\N{REPLACEMENT CHARACTER}" in text:  # a part of a character: byte by byte
        found = [old.token_id(c) for c in token]
        return [i for i in found if i is not None]
    return old.encode(text)
