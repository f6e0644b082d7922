"""Where each token stands in its document, and how attention is told."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

Rotation = tuple[Tensor, Tensor]
"""Cosine, and sine with the sign each half takes; each (1 or B, 1, T, D)."""


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
    n_rows, n_tokens = tokens.shape
    if documents is not None and n_past == 0 and _is_plain(documents):
        documents = None
    if documents is None and past is None:
        positions = torch.arange(n_past, n_past + n_tokens, device=tokens.device).unsqueeze(0)
        return Layout(positions, None, n_past)
    if documents is None:
        documents = torch.ones_like(tokens)
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


def rotation(positions: Tensor, head_dim: int, theta: float, dtype: torch.dtype) -> Rotation:
    """Return the turn of each feature pair at each position; always computed in float32.

    Pair i of D/2 turns by position · theta^(-2i/D). Source: arXiv:2104.09864.
    """
    exponent = torch.arange(0, head_dim, 2, device=positions.device, dtype=torch.float32) / head_dim
    angles = positions.unsqueeze(-1).float() * (1.0 / theta**exponent)  # (B, T, D/2)
    cos, sin = angles.cos(), angles.sin()
    # The sign of a turn is in the sine, so that turning is one product and one sum.
    pairs = torch.cat([cos, cos], dim=-1), torch.cat([-sin, sin], dim=-1)
    return pairs[0].unsqueeze(1).to(dtype), pairs[1].unsqueeze(1).to(dtype)


def rotate(x: Tensor, turn: Rotation) -> Tensor:
    """Turn queries or keys (B, H, T, D); feature i is paired with feature i + D/2."""
    cos, sin = turn
    first, second = x.chunk(2, dim=-1)
    return torch.addcmul(x * cos, torch.cat([second, first], dim=-1), sin)
