"""Attention: each token gathers from the tokens it may see.

Shape letters: B batch, T tokens, S tokens that can be read (past ones included), C width, H heads,
K kv heads, D head width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from luban.models.cache import LayerCache
from luban.models.config import TransformerConfig
from luban.models.positions import Layout, Rotation, rotate, rotation


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """What every layer of one forward pass shares: who sees whom, and where tokens stand.

    mask (B or 1, 1, T, S) is added to the scores: 0 where seen, -inf where not; None: no document
    ends inside a row, and `is_causal` says the rest.
    """

    mask: Tensor | None
    is_causal: bool
    turn: Rotation | None


def build_scene(layout: Layout, config: TransformerConfig, like: Tensor) -> Scene:
    """Work out the scene once, in the dtype and on the device of the hidden states `like`."""
    is_causal = config.sight == "causal"
    turn = (
        rotation(layout.positions, config.head_dim, config.rope_theta, like.dtype)
        if config.position == "rotary"
        else None
    )
    n_tokens = layout.positions.shape[1]
    if layout.documents is None and (not is_causal or n_tokens == 1):
        return Scene(None, False, turn)
    if layout.documents is None and layout.n_past == 0:
        return Scene(None, True, turn)
    return Scene(_mask(layout, n_tokens, is_causal, like), False, turn)


def _mask(layout: Layout, n_tokens: int, is_causal: bool, like: Tensor) -> Tensor:
    n_seen = layout.n_past + n_tokens
    seen = torch.ones(1, 1, n_tokens, n_seen, dtype=torch.bool, device=like.device)
    if is_causal:
        seen = seen.tril(layout.n_past)
    if layout.documents is not None:
        # Padding carries id 0 and so sees padding: no row of scores is empty, none becomes NaN.
        reader, read = layout.documents[:, -n_tokens:], layout.documents
        seen = seen & (reader[:, None, :, None] == read[:, None, None, :])
    # Added once here; a boolean mask would be converted again in every layer.
    return torch.zeros_like(seen, dtype=like.dtype).masked_fill_(~seen, -torch.inf)


class Attention(nn.Module):
    """Each token of x (B, T, C) reads from source (B, S, C); in self-attention that is x again.

    Source: arXiv:1706.03762 section 3.2; grouped key/value heads, arXiv:2305.13245.
    """

    def __init__(self, config: TransformerConfig):
        super().__init__()
        width, kv_width = config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim
        self.q = nn.Linear(config.dim, width, bias=config.attention_bias)
        self.k = nn.Linear(config.dim, kv_width, bias=config.attention_bias)
        self.v = nn.Linear(config.dim, kv_width, bias=config.attention_bias)
        self.out = nn.Linear(width, config.dim, bias=config.attention_bias)
        self.head_dim, self.dropout = config.head_dim, config.attention_dropout
        self.is_grouped = config.n_kv_heads < config.n_heads

    def forward(self, x: Tensor, source: Tensor, scene: Scene, cache: LayerCache | None = None) -> Tensor:
        """Read from source: (B, T, C), (B, S, C) -> (B, T, C)."""
        q, k, v = self._split(self.q(x)), self._split(self.k(source)), self._split(self.v(source))
        if scene.turn is not None:
            q, k = rotate(q, scene.turn), rotate(k, scene.turn)
        if cache is not None:
            k, v = cache.extend(k, v)
        read = F.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=scene.mask,
            is_causal=scene.is_causal,
            dropout_p=self.dropout if self.training else 0.0,
            enable_gqa=self.is_grouped,
        )
        return self.out(read.transpose(1, 2).flatten(2))  # (B, H, T, D) -> (B, T, C)

    def _split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], -1, self.head_dim).transpose(1, 2)  # (B, H or K, T or S, D)


class SelfAttention(Attention):
    """Attention that reads its own input."""

    def forward(self, x: Tensor, scene: Scene, cache: LayerCache | None = None) -> Tensor:  # type: ignore[override]
        """Read from x itself: (B, T, C) -> (B, T, C)."""
        return super().forward(x, x, scene, cache)
