"""Keeps what rows have read in a cache, and says what each could go on with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from luban.generate.twin import fast_twin
from luban.models.cache import Cache
from luban.models.model import Model


@dataclass(frozen=True, slots=True, eq=False)
class Prompts:
    """The ids that each row begins with, and what an encoder reads for each.

    source: ids (B, S), padded where source_documents (B, S) is 0, or log-mel frames (B, M, frames).
    With an encoder, a row begins with `config.start_id`, or whatever its first words must be.
    """

    ids: Sequence[Sequence[int]]
    source: Tensor | None = None
    source_documents: Tensor | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def row(self, i: int) -> Prompts:
        """Return one row alone, its padding cut off."""
        source, documents = (
            None if t is None else t[i : i + 1] for t in (self.source, self.source_documents)
        )
        if source is not None and documents is not None:
            source, documents = source[:, documents[0] != 0], None
        return Prompts([self.ids[i]], source, documents)


class Reader:
    """What rows have read, and the scores of their next tokens in `logits` (B, V)."""

    def __init__(self, model: Model, prompts: Prompts, n_new: int):
        self.model = fast_twin(model)
        parameter = next(model.parameters())
        self._device = parameter.device
        longest = max(map(len, prompts.ids))
        self.cache = Cache(
            model.config, len(prompts), longest + n_new, device=parameter.device, dtype=parameter.dtype
        )
        # Padding stands on the left, so that every prompt ends in the last column.
        tokens = torch.zeros(len(prompts), longest, dtype=torch.long)
        documents = torch.zeros_like(tokens)
        for row, ids in enumerate(prompts.ids):
            tokens[row, longest - len(ids) :] = torch.tensor(ids)
            documents[row, longest - len(ids) :] = 1
        is_padded = bool((documents == 0).any())
        source = self._source(prompts, parameter.dtype)
        hidden = self._read(tokens, documents if is_padded else None, **source)
        self.logits = self.score(hidden[:, -1])  # the scores of the prompt's other tokens are not needed

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows, in this order; a row may be named twice."""
        if list(rows) != list(range(self.cache.batch_size)):
            self.cache.keep(list(rows))
            self.logits = self.logits[torch.tensor(rows, device=self._device)]

    def read(self, tokens: Tensor) -> None:
        """Read one more token (B,) in each row."""
        self.logits = self.score(self._read(tokens.unsqueeze(1))[:, -1])

    def hidden(self, tokens: Tensor, documents: Tensor | None = None) -> Tensor:
        """Read more tokens (B, T), padding where documents is 0; return the states at each (B, T, C)."""
        return self._read(tokens, documents)

    def scores(self, tokens: Tensor) -> Tensor:
        """Read more tokens (B, T) and return what could follow each (B, T, V)."""
        return self.score(self._read(tokens))

    @torch.no_grad()
    def score(self, hidden: Tensor) -> Tensor:
        """Return what could follow hidden states: (..., C) -> (..., V)."""
        return self.model.head(hidden)

    @torch.no_grad()
    def _read(self, tokens: Tensor, documents: Tensor | None = None, **source: Tensor | None) -> Tensor:
        documents = None if documents is None else documents.to(self._device)
        return self.model.hidden(tokens.to(self._device), documents, self.cache, **source)

    def _source(self, prompts: Prompts, dtype: torch.dtype) -> dict[str, Tensor | None]:
        source, documents = prompts.source, prompts.source_documents
        if source is not None:
            source = source.to(self._device, dtype if source.is_floating_point() else None)
        return {
            "source": source,
            "source_documents": None if documents is None else documents.to(self._device),
        }


@contextmanager
def evaluating(model: Model) -> Iterator[None]:
    """Switch dropout off meanwhile."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
