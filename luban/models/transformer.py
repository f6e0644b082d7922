"""A trunk of Transformer blocks: encoder or decoder by its `sight`."""

from __future__ import annotations

import dataclasses

from torch import Tensor, nn

from luban.models.attention import Memory, build_scene, source_mask
from luban.models.block import Block
from luban.models.cache import Cache
from luban.models.config import TransformerConfig
from luban.models.norms import build_norm
from luban.models.positions import DistanceBias, Layout


class Transformer(nn.Module):
    """Blocks over hidden states (B, T, C), which stay (B, T, C)."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.config = config
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.distances = DistanceBias(config) if config.position == "relative" else None
        # Blocks that end in a norm need no other.
        self.norm = build_norm(config) if config.norm_place == "before" else nn.Identity()

    def forward(
        self, x: Tensor, layout: Layout, cache: Cache | None = None, memory: Memory | None = None
    ) -> Tensor:
        """Keep (B, T, C). `memory`: what the blocks read of a source, unless the cache has it."""
        scene = build_scene(layout, self.config, x, self.distances)
        if self.config.reads_source:
            sources = memory.documents if memory is not None else None
            if memory is None and cache is not None:
                sources = cache.source_documents
            scene = dataclasses.replace(
                scene,
                source=None if memory is None else memory.hidden,
                source_mask=source_mask(layout, x.shape[1], sources, x),
            )
        for i, block in enumerate(self.blocks):
            x = block(x, scene, None if cache is None else cache.layers[i])
        return self.norm(x)
