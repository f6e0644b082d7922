"""Models small enough to reckon by hand."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from luban.records import Batch


class Head(nn.Module):
    def __init__(self, dim: int, vocab: int, bias: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(vocab, dim))
        self.bias = nn.Parameter(torch.zeros(vocab)) if bias else None

    def features(self, hidden: Tensor) -> Tensor:
        return hidden

    def forward(self, hidden: Tensor, documents: Tensor | None = None) -> Tensor:
        return F.linear(hidden, self.weight, self.bias)


class Toy(nn.Module):
    """Hidden state = embedding of the token, and the source's mean; remembers what it was shown."""

    def __init__(self, vocab: int = 4, dim: int = 4, bias: bool = False):
        super().__init__()
        self.stem = nn.Embedding(vocab, dim)
        self.head = Head(dim, vocab, bias)
        self.seen: dict[str, Tensor | None] = {}

    def hidden(
        self,
        tokens: Tensor,
        documents: Tensor,
        *,
        source: Tensor | None = None,
        source_documents: Tensor | None = None,
    ) -> Tensor:
        self.seen = {
            "tokens": tokens, "documents": documents, "source": source, "source_documents": source_documents
        }  # fmt: skip
        if source is None:
            return self.stem(tokens)
        return self.stem(tokens) + self.stem(source).mean(1, keepdim=True)


class Fixed(nn.Module):
    """Says the same whatever it reads."""

    def __init__(self, scores: object):
        super().__init__()
        self.scores = nn.Parameter(torch.tensor(scores))

    def forward(self, tokens: Tensor, documents: Tensor) -> Tensor:
        return self.scores


def rows(tokens: list[list[int]], documents: list[list[int]] | None = None) -> Batch:
    """Tokens without targets; every row is one document unless told otherwise."""
    ids = torch.tensor(tokens)
    numbers = torch.ones_like(ids) if documents is None else torch.tensor(documents)
    return Batch(ids, numbers, torch.full_like(ids, -100))


def targets_of(targets: object, width: int = 2) -> Batch:
    """Rows whose tokens do not matter."""
    known = torch.tensor(targets)
    ones = torch.ones(len(known), width, dtype=torch.long)
    return Batch(ones, ones, known)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
