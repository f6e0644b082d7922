"""Rotary positions in training: queries and keys turn in one pass over memory, gradients turn back in one."""

from __future__ import annotations

import ctypes
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from luban.native.build import library


def rotate(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Turn (B, H, T, D), all of tensors that `suits`, with gradients for x.

    The turn is cos, and sin with its sign, (1 or B, 1, T, the first so many of D that turn).
    """
    y: Tensor = _Turned.apply(x, *turn)  # type: ignore[no-untyped-call]
    return y


class _Turn(ctypes.Structure):
    """The struct Turn of kernels.h."""

    _fields_: ClassVar = [
        *((name, ctypes.c_void_p) for name in ("source", "cos", "sin", "to")),
        *((name, ctypes.c_int64) for name in ("batch", "n_heads", "n_tokens", "head_dim", "turned")),
        *((name, ctypes.c_int64) for name in ("from_row", "from_head", "from_token")),
        *((name, ctypes.c_int64) for name in ("to_row", "to_head", "to_token", "turn_stride")),
        ("is_back", ctypes.c_int32),
    ]


class _Turned(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x, cos, sin = (x if x.stride(-1) == 1 else x.contiguous()), cos.contiguous(), sin.contiguous()
        ctx.save_for_backward(cos, sin)
        y = torch.empty_like(x)
        _turn(x, y, cos, sin, is_back=False)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        grad = grad if grad.stride(-1) == 1 else grad.contiguous()
        # (B, T, H, D) in memory, where the projection's own gradient wants it.
        by_x = torch.empty_like(grad.transpose(1, 2), memory_format=torch.contiguous_format).transpose(1, 2)
        _turn(grad, by_x, cos, sin, is_back=True)
        return by_x, None, None


def _turn(x: Tensor, y: Tensor, cos: Tensor, sin: Tensor, is_back: bool) -> None:
    turn_stride = 0 if cos.shape[0] == 1 else cos[0].numel()
    struct = _Turn(
        *(t.data_ptr() for t in (x, cos, sin, y)),
        *x.shape,
        cos.shape[-1],
        *x.stride()[:3],
        *y.stride()[:3],
        turn_stride,
        is_back,
    )
    library().luban_turn(ctypes.addressof(struct), torch.get_num_threads())
