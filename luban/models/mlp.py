"""The MLP of a block: each token alone, wider and back."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from luban.models.config import TransformerConfig
from luban.models.dropout import Dropout

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "silu": F.silu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
}


class MLP(nn.Module):
    """down(activation(up(x))); the gated form multiplies activation(gate(x)) with up(x). Keeps (B, T, C).

    Source: arXiv:1706.03762 section 3.3; gates, arXiv:2002.05202.
    """

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.activation = ACTIVATIONS[config.activation]
        gated, bias = config.mlp == "gated", config.mlp_bias
        self.up = nn.Linear(config.dim, config.ffn_dim, bias=bias)
        self.down = nn.Linear(config.ffn_dim, config.dim, bias=bias)
        self.gate = nn.Linear(config.dim, config.ffn_dim, bias=bias) if gated else None
        self.dropout = Dropout(config.mlp_dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Keep (B, T, C)."""
        hidden = self.activation(self.up(x)) if self.gate is None else self.gated(self.gate(x), self.up(x))
        return self.down(self.dropout(hidden))

    def gated(self, gate: Tensor, up: Tensor) -> Tensor:
        """Multiply what is active at the gate with what comes up."""
        return self.activation(gate) * up
