"""Stems: token ids, or sound, become hidden states."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from luban.errors import DataError
from luban.models.config import ModelConfig, TransformerConfig
from luban.models.dropout import Dropout
from luban.models.norms import build_norm
from luban.models.positions import sinusoids


class TokenStem(nn.Module):
    """The sum of what is known of a token: which it is, where it stands, which text it belongs to."""

    def __init__(self, config: ModelConfig, n_positions: int | None = None):
        super().__init__()
        dim, trunk = config.dim, config.trunk
        self.tokens = table(config.vocab_size, dim)
        self.positions = _position_table(config, n_positions or config.max_len)
        self.segments = table(config.n_segments, dim) if config.n_segments else None
        self.norm = build_norm(trunk) if config.stem_norm and isinstance(trunk, TransformerConfig) else None
        self.dropout = Dropout(trunk.dropout)
        self.scale, self.offset = config.stem_scale, config.position_offset

    def forward(self, tokens: Tensor, positions: Tensor, segments: Tensor | None = None) -> Tensor:
        """(B, T), (1 or B, T), (B, T) -> (B, T, C)."""
        return self.place(self.tokens(tokens), positions, segments)

    def place(self, x: Tensor, positions: Tensor, segments: Tensor | None = None) -> Tensor:
        """Add to the vectors of words (B, T, C) what is known beside which words they are."""
        if self.scale != 1:
            x = x * self.scale
        if self.segments is not None:
            if segments is not None and segments.is_cpu and int(segments.max()) >= len(self.segments.weight):
                raise DataError(
                    f"segment {int(segments.max())} is not among the model's {len(self.segments.weight)}",
                    fix="number the two texts 0 and 1",
                )
            x = x + (self.segments.weight[0] if segments is None else self.segments(segments))
        if self.positions is not None:
            x = x + self.positions(positions + self.offset if self.offset else positions)
        if self.norm is not None:
            x = self.norm(x)
        return self.dropout(x)


def table(n_rows: int, dim: int) -> nn.Embedding:
    """Return a table of vectors whose values are still to come; torch's own would draw them first."""
    return nn.Embedding(n_rows, dim, _weight=torch.empty(n_rows, dim))


def _position_table(config: ModelConfig, n_positions: int) -> nn.Embedding | None:
    if config.trunk.position == "learned":
        return table(n_positions + config.position_offset, config.dim)
    if config.trunk.position == "sinusoidal":
        return SinusoidTable(n_positions, config.dim, config.dim / 2)
    return None


class SinusoidTable(nn.Embedding):
    """Positions that are computed, not learnt; `n_waves` as in `sinusoids`."""

    def __init__(self, n_positions: int, dim: int, n_waves: float):
        super().__init__(n_positions, dim, _weight=torch.empty(n_positions, dim))
        self.weight.requires_grad_(False)
        self.n_waves = n_waves

    def fill(self) -> None:
        """Compute the table."""
        self.weight.copy_(sinusoids(self.num_embeddings, self.embedding_dim, self.n_waves))


class AudioStem(nn.Module):
    """Two convolutions over a log-mel spectrogram, which halve its length, and positions.

    Source: arXiv:2212.04356 section 2.2.
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.n_mels, self.max_len = config.n_mels, config.source_max_len
        self.conv1 = nn.Conv1d(config.n_mels, config.dim, kernel_size=3, padding=1)
        self.conv2 = nn.Conv1d(config.dim, config.dim, kernel_size=3, stride=2, padding=1)
        self.positions = SinusoidTable(config.source_max_len, config.dim, config.dim / 2 - 1)
        self.dropout = Dropout(config.trunk.dropout)

    def forward(self, mel: Tensor) -> Tensor:
        """(B, M, frames) -> (B, frames/2, C)."""
        if mel.ndim != 3 or mel.shape[1] != self.n_mels:
            raise DataError(
                f"a spectrogram of the shape {tuple(mel.shape)} is not (B, {self.n_mels} mel bands, frames)",
                fix=f"make it with {self.n_mels} mel bands",
            )
        if mel.shape[2] > 2 * self.max_len:
            raise DataError(
                f"a spectrogram of {mel.shape[2]} frames is longer than the model's {2 * self.max_len}",
                fix="cut the sound into pieces",
            )
        x = F.gelu(self.conv2(F.gelu(self.conv1(mel)))).transpose(1, 2)
        return self.dropout(x + self.positions.weight[: x.shape[1]])
