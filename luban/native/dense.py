"""What the kernels for training ask of tensors: float32, in this machine's memory, without gaps."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def suits(*tensors: Tensor) -> bool:
    """Whether kernels can read these; a compiler, which makes kernels of its own, is not to see them."""
    return not torch.compiler.is_compiling() and all(
        type(t) in (Tensor, nn.Parameter) and t.is_cpu and t.dtype == torch.float32 for t in tensors
    )


def dense(x: Tensor) -> Tensor:
    """Return x, or a copy if its numbers do not fill its memory; the order of its dimensions is free."""
    if x.is_contiguous() or torch.empty_like(x).stride() == x.stride():
        return x
    return x.contiguous()


def laid_out(t: Tensor, like: Tensor) -> Tensor:
    """Return t, or a copy, whose numbers lie in memory in the order of `like`, which is dense."""
    if t.stride() == like.stride() or (t.is_contiguous() and like.is_contiguous()):
        return t
    return torch.empty_like(like).copy_(t)
