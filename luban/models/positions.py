"""Where each token stands in its document, and how the stem or attention is told."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from luban.models.config import TransformerConfig


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """How the tokens of one forward pass lie in their rows; made once, shared by all layers.

    positions (1 or B, T): place in the own document, from 0. documents (B, S), past ones included:
    None when every row is one document. Queries are the last T of the S tokens.
    """

    positions: Tensor
    documents: Tensor | None
    n_past: int


def lay_out(tokens: Tensor, documents: Tensor | None, past: Tensor | None, n_past: int) -> Layout:
    """Lay out tokens (B, T) after `n_past` others; `past` (B, n_past) are the documents of those."""
    n_rows, n_tokens = tokens.shape[:2]
    if documents is not None and n_past == 0 and _is_plain(documents):
        documents = None
    if documents is None and past is None:
        positions = torch.arange(n_past, n_past + n_tokens, device=tokens.device).unsqueeze(0)
        return Layout(positions, None, n_past)
    if documents is None:
        documents = torch.ones(n_rows, n_tokens, dtype=torch.long, device=tokens.device)
    if past is not None:
        documents = torch.cat([past, documents], dim=1)
    elif n_past:
        documents = torch.cat([documents.new_ones(n_rows, n_past), documents], dim=1)
    return Layout(document_positions(documents)[:, -n_tokens:], documents, n_past)


def document_positions(documents: Tensor) -> Tensor:
    """Count from 0 inside each document: (B, S) -> (B, S).

    [[1, 1, 1, 2, 2, 0]] -> [[0, 1, 2, 0, 1, 0]]
    """
    place = torch.arange(documents.shape[1], device=documents.device).expand_as(documents)
    is_first = torch.ones_like(documents, dtype=torch.bool)
    is_first[:, 1:] = documents[:, 1:] != documents[:, :-1]
    return place - torch.where(is_first, place, 0).cummax(dim=1).values


def _is_plain(documents: Tensor) -> bool:
    """Whether every row is one document: asked only where the answer is at hand without waiting."""
    if not documents.is_cpu or torch.compiler.is_compiling():
        return False
    return bool((documents == documents[:, :1]).all())


def sinusoids(n_positions: int, dim: int, n_waves: float) -> Tensor:
    """Return sines in the first half of the features, cosines in the second: (n_positions, dim).

    Wavelengths grow from 2π by the factor 10000^(1/n_waves). The paper pairs them feature by
    feature, which is the same up to their order. Source: arXiv:1706.03762 section 3.5.
    """
    wave = torch.arange((dim + 1) // 2, dtype=torch.float64)
    angles = torch.arange(n_positions, dtype=torch.float64)[:, None] / 10_000 ** (wave / n_waves)
    return torch.cat([angles.sin(), angles.cos()[:, : dim // 2]], dim=1).float()


class DistanceBias(nn.Module):
    """What attention scores gain by distance: a learnt value a head, shared by like distances.

    Half of the buckets are for one distance each, the others for ranges that double up to
    max_distance. Source: arXiv:1910.10683 section 2.1.
    """

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(config.n_buckets, config.n_heads))
        self.n_buckets, self.max_distance = config.n_buckets, config.max_distance
        self.is_causal = config.sight == "causal"

    def forward(self, layout: Layout, n_tokens: int) -> Tensor:
        """Return the bias of the last `n_tokens` of all tokens seen: (1, H, T, S)."""
        distance = _distances(layout, n_tokens, self.weight.device)
        return self.weight[self._bucket(distance)].permute(2, 0, 1).unsqueeze(0)

    def _bucket(self, distance: Tensor) -> Tensor:
        n_buckets = self.n_buckets if self.is_causal else self.n_buckets // 2
        first = torch.where(distance > 0, 0 if self.is_causal else n_buckets, 0)
        distance = (-distance).clamp(min=0) if self.is_causal else distance.abs()
        n_exact = n_buckets // 2
        octaves = torch.log(distance.clamp(min=1).float() / n_exact) / math.log(self.max_distance / n_exact)
        far = (n_exact + (octaves * (n_buckets - n_exact)).long()).clamp(max=n_buckets - 1)
        return first + torch.where(distance < n_exact, distance, far)


def alibi(layout: Layout, n_tokens: int, n_heads: int, like: Tensor) -> Tensor:
    """Return a penalty that grows with distance, each head at its own rate: (1, H, T, S).

    Source: arXiv:2108.12409 section 3; rates for other head counts than powers of two as there.
    """
    distance = _distances(layout, n_tokens, like.device).abs()
    rates = torch.tensor(_rates(n_heads), device=like.device)
    return (-rates[:, None, None] * distance).unsqueeze(0).to(like.dtype)


def _rates(n_heads: int) -> list[float]:
    """Return the geometric series that ends in 1/256; for other counts, of the next smaller power of
    two, and then every second one of the next larger."""
    power = 2 ** math.floor(math.log2(n_heads))
    rates = [2 ** (-8 * (h + 1) / power) for h in range(power)]
    between = [2 ** (-8 * (h + 1) / (2 * power)) for h in range(0, 2 * power, 2)]
    return rates + between[: n_heads - power]


def _distances(layout: Layout, n_tokens: int, device: torch.device) -> Tensor:
    """Return how far each token seen lies ahead of each reader (T, S); documents share one count."""
    place = torch.arange(layout.n_past + n_tokens, device=device)
    return place[None, :] - place[-n_tokens:, None]
