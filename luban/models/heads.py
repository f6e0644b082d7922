"""Heads: hidden states become scores."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from luban.models.config import ModelConfig, TransformerConfig
from luban.models.dropout import Dropout
from luban.models.mlp import ACTIVATIONS
from luban.models.norms import build_norm


class TokensHead(nn.Module):
    """A score for every token of the vocabulary: (B, T, C) -> (B, T, V).

    A loss that wants to avoid the scores takes `features(hidden)`, `weight` and `bias` instead.
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(config.vocab_size, config.dim))
        self.bias = nn.Parameter(torch.empty(config.vocab_size)) if config.head.bias else None
        self.transform = _transform(config)
        self.scale = config.head.scale

    def forward(self, hidden: Tensor, documents: Tensor | None = None) -> Tensor:
        """Score every token at every position; documents are not needed."""
        return F.linear(self.features(hidden), self.weight, self.bias)

    def features(self, hidden: Tensor) -> Tensor:
        """Return what the vocabulary matrix is applied to (B, T, C)."""
        hidden = hidden if self.transform is None else self.transform(hidden)
        return hidden if self.scale == 1 else hidden * self.scale


class Transform(nn.Module):
    """BERT's layer between hidden states and vocabulary. Keeps (B, T, C)."""

    def __init__(self, config: TransformerConfig, activation: str):
        super().__init__()
        self.dense = nn.Linear(config.dim, config.dim)
        self.activation = ACTIVATIONS[activation]
        self.norm = build_norm(config)

    def forward(self, x: Tensor) -> Tensor:
        """Keep (B, T, C)."""
        return self.norm(self.activation(self.dense(x)))


class ClassesHead(nn.Module):
    """A score for every class of a text: (B, T, C) -> (B, K)."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.pool = config.head.pool
        self.pooler = _pooler(config)
        self.dropout = Dropout(config.trunk.dropout)
        self.classes = nn.Linear(config.dim, config.head.n_classes, bias=config.head.bias)

    def forward(self, hidden: Tensor, documents: Tensor | None = None) -> Tensor:
        """Score every class of each row."""
        x = pooled(hidden, documents, self.pool)
        if self.pooler is not None:
            x = self.pooler(x).tanh()
        return self.classes(self.dropout(x))


class TagsHead(nn.Module):
    """A score for every class of a token: (B, T, C) -> (B, T, K)."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.dropout = Dropout(config.trunk.dropout)
        self.tags = nn.Linear(config.dim, config.head.n_classes, bias=config.head.bias)

    def forward(self, hidden: Tensor, documents: Tensor | None = None) -> Tensor:
        """Score every class of each token."""
        return self.tags(self.dropout(hidden))


class SpansHead(nn.Module):
    """How well an answer would start, and end, at each token: (B, T, C) -> (B, T, 2)."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.spans = nn.Linear(config.dim, 2, bias=config.head.bias)

    def forward(self, hidden: Tensor, documents: Tensor | None = None) -> Tensor:
        """Score starts and ends."""
        return self.spans(hidden)


class VectorHead(nn.Module):
    """One vector of length 1 a text, for searching and comparing: (B, T, C) -> (B, C)."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.pool = config.head.pool
        self.pooler = _pooler(config)

    def forward(self, hidden: Tensor, documents: Tensor | None = None) -> Tensor:
        """Pool each row; a pooler that came with an encoder is kept but not used."""
        return F.normalize(pooled(hidden, documents, self.pool), dim=-1)


class NoHead(nn.Module):
    """Hidden states as they are; keeps the pooler that came with an encoder, for who saves it again."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.pooler = _pooler(config)

    def forward(self, hidden: Tensor, documents: Tensor | None = None) -> Tensor:
        """Pass (B, T, C) through."""
        return hidden


HEADS: dict[str, type[nn.Module]] = {
    "tokens": TokensHead,
    "classes": ClassesHead,
    "tags": TagsHead,
    "spans": SpansHead,
    "vector": VectorHead,
    "none": NoHead,
}


def pooled(hidden: Tensor, documents: Tensor | None, pool: str) -> Tensor:
    """Return one vector a row, padding left out: (B, T, C) -> (B, C)."""
    if documents is None:
        return hidden.mean(1) if pool == "mean" else hidden[:, 0 if pool == "first" else -1]
    is_token = documents != 0
    if pool == "mean":
        weight = is_token.to(hidden.dtype)
        return torch.einsum("btc,bt->bc", hidden, weight / weight.sum(1, keepdim=True).clamp(min=1))
    place = torch.arange(documents.shape[1], device=documents.device)
    if pool == "first":
        found = torch.where(is_token, place, documents.shape[1] - 1).amin(1)
    else:
        found = torch.where(is_token, place, 0).amax(1)
    return hidden[torch.arange(len(hidden), device=hidden.device), found]


def _transform(config: ModelConfig) -> Transform | None:
    if config.head.layer == "transform" and isinstance(config.trunk, TransformerConfig):
        return Transform(config.trunk, config.head.activation or config.trunk.activation)
    return None


def _pooler(config: ModelConfig) -> nn.Linear | None:
    return nn.Linear(config.dim, config.dim) if config.head.layer == "pooler" else None
