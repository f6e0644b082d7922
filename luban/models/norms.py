"""Normalise each token's vector; the two kinds that families choose from."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from luban.models.config import TransformerConfig
from luban.models.dropout import is_cheap


class RMSNorm(nn.RMSNorm):
    """x / √(mean x² + ε) · weight, over the last axis (arXiv:1910.07467)."""

    def forward(self, x: Tensor) -> Tensor:
        """Keep any shape; where gradients are taken on a CPU, in half the time of torch's steps."""
        if torch.is_grad_enabled() and is_cheap(x) and x.dtype is self.weight.dtype is torch.float32:
            normed: Tensor = _Normed.apply(x, self.weight, self.eps)  # type: ignore[no-untyped-call]
            return normed
        return super().forward(x)


class _Normed(torch.autograd.Function):
    """With r = 1/√(mean x² + ε) and h = g·w: dx = r·(h − x·r²·mean(h·x)), dw = Σ g·x·r."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        r = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(x.shape[-1]).add_(eps).rsqrt_()
        ctx.save_for_backward(x, weight, r)
        return (x * r).mul_(weight)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight, r = ctx.saved_tensors
        by_x, by_weight = None, None
        if ctx.needs_input_grad[0]:
            h = grad * weight
            share = torch.linalg.vecdot(h, x).unsqueeze(-1).mul_(r * r).div_(x.shape[-1])
            by_x = torch.addcmul(h, x, share, value=-1).mul_(r)
        if ctx.needs_input_grad[1]:
            by_weight = (x * r).mul_(grad).reshape(-1, x.shape[-1]).sum(0)
        return by_x, by_weight, None


NORMS: dict[str, type[nn.LayerNorm] | type[RMSNorm]] = {"layer": nn.LayerNorm, "rms": RMSNorm}
"""Mean and variance (arXiv:1607.06450), or the root mean square alone (arXiv:1910.07467)."""


def build_norm(config: TransformerConfig) -> nn.Module:
    """Return a norm over the last axis of (B, T, C)."""
    return NORMS[config.norm](config.dim, eps=config.norm_eps)
