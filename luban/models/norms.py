"""Normalise each token's vector; the two kinds that families choose from."""

from __future__ import annotations

from torch import nn

from luban.models.config import TransformerConfig

NORMS: dict[str, type[nn.LayerNorm] | type[nn.RMSNorm]] = {"layer": nn.LayerNorm, "rms": nn.RMSNorm}
"""Mean and variance (arXiv:1607.06450), or the root mean square alone (arXiv:1910.07467)."""


def build_norm(config: TransformerConfig) -> nn.Module:
    """Return a norm over the last axis of (B, T, C)."""
    return NORMS[config.norm](config.dim, eps=config.norm_eps)
