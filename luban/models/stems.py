"""Stems: token ids become hidden states."""

from __future__ import annotations

from torch import Tensor, nn

from luban.models.config import ModelConfig, TransformerConfig
from luban.models.norms import build_norm


class TokenStem(nn.Module):
    """The sum of what is known of a token: which it is, where it stands, which text it belongs to."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        dim, trunk = config.dim, config.trunk
        self.tokens = nn.Embedding(config.vocab_size, dim)
        self.positions = nn.Embedding(config.max_len, dim) if trunk.position == "learned" else None
        self.segments = nn.Embedding(config.n_segments, dim) if config.n_segments else None
        self.norm = build_norm(trunk) if config.stem_norm and isinstance(trunk, TransformerConfig) else None
        self.dropout = nn.Dropout(trunk.dropout)

    def forward(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """(B, T), (1 or B, T) -> (B, T, C)."""
        x = self.tokens(tokens)  # (B, T) -> (B, T, C)
        if self.segments is not None:
            x = x + self.segments.weight[0]
        if self.positions is not None:
            x = x + self.positions(positions)
        if self.norm is not None:
            x = self.norm(x)
        return self.dropout(x)
