"""One Transformer layer, for every family: read other tokens, then transform each token alone."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from luban.models.attention import CrossAttention, Scene, SelfAttention
from luban.models.cache import LayerCache
from luban.models.config import TransformerConfig
from luban.models.dropout import Dropout
from luban.models.mlp import MLP
from luban.models.norms import build_norm


class Block(nn.Module):
    """Self-attention, the source if there is one, and MLP, each added to the residual stream (B, T, C).

    before:  x + f(norm(x))        after:  norm(x + f(x))
    """

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.attention_norm = build_norm(config)
        self.attention = SelfAttention(config)
        self.cross_norm = build_norm(config) if config.reads_source else None
        self.cross = CrossAttention(config) if config.reads_source else None
        self.mlp_norm = build_norm(config)
        self.mlp = MLP(config)
        self.dropout = Dropout(config.dropout)
        self.norm_first = config.norm_place == "before"

    def forward(self, x: Tensor, scene: Scene, cache: LayerCache | None = None) -> Tensor:
        """Keep (B, T, C)."""
        x = self._add(x, self.attention_norm, self.attention, scene, cache)
        if self.cross is not None and self.cross_norm is not None:
            x = self._add(x, self.cross_norm, self.cross, scene, cache)
        return self._add(x, self.mlp_norm, self.mlp)

    def _add(self, x: Tensor, norm: nn.Module, part: nn.Module, *context: Any) -> Tensor:
        if self.norm_first:
            return x + self.dropout(part(norm(x), *context))
        return norm(x + self.dropout(part(x, *context)))
