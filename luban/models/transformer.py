"""A trunk of Transformer blocks: encoder or decoder by its `sight`."""

from __future__ import annotations

from torch import Tensor, nn

from luban.models.attention import build_scene
from luban.models.block import Block
from luban.models.cache import Cache
from luban.models.config import TransformerConfig
from luban.models.norms import build_norm
from luban.models.positions import Layout


class Transformer(nn.Module):
    """Blocks over hidden states (B, T, C), which stay (B, T, C)."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.config = config
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        # Blocks that end in a norm need no other.
        self.norm = build_norm(config) if config.norm_place == "before" else nn.Identity()

    def forward(self, x: Tensor, layout: Layout, cache: Cache | None = None) -> Tensor:
        """Keep (B, T, C)."""
        scene = build_scene(layout, self.config, x)
        for i, block in enumerate(self.blocks):
            x = block(x, scene, None if cache is None else cache.layers[i])
        return self.norm(x)
