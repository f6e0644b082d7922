"""Dropout whose random bits are cheap on a CPU, where torch's own costs as much as a matrix product.

Source: Srivastava and others, JMLR 15 (2014).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_STEPS = 1 << 16
"""A share is rounded to so many steps: each 64-bit draw decides four places."""


class Dropout(nn.Module):
    """Zeroes a share of x in training and scales the rest, so that the mean stays."""

    def __init__(self, share: float):
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        """Keep any shape."""
        return dropout(x, self.share) if self.training else x

    def extra_repr(self) -> str:
        """Return what `print(model)` shows."""
        return f"share={self.share}"


def dropout(x: Tensor, share: float) -> Tensor:
    """Zero a share of x, scale the rest."""
    if not share:
        return x
    if is_cheap(x):
        dropped: Tensor = _Dropped.apply(x, share)  # type: ignore[no-untyped-call]
        return dropped
    return F.dropout(x, share)


def is_cheap(x: Tensor) -> bool:
    """Whether the bits are drawn here; accelerators and compiled graphs have kernels of their own."""
    return x.is_cpu and not torch.compiler.is_compiling()


class _Dropped(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, share: float) -> Tensor:
        n_dropped = round(share * _STEPS)
        draws = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(torch.iinfo(torch.int64).min, None)
        bits = draws.view(torch.int16)[: x.numel()].view(x.shape)
        factor = (bits >= n_dropped - _STEPS // 2).to(x.dtype).mul_(_STEPS / (_STEPS - n_dropped))
        ctx.save_for_backward(factor)
        return x * factor

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (factor,) = ctx.saved_tensors
        return grad * factor, None
