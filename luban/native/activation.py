"""Activations in training: a pass over memory forward, and one backward. Only their inputs are kept."""

from __future__ import annotations

import ctypes
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from luban.native.build import library
from luban.native.dense import dense, laid_out


def gelu_tanh(x: Tensor) -> Tensor:
    """F.gelu with approximate="tanh" of a tensor that `suits`; keep any shape."""
    y: Tensor = _GeluTanh.apply(x)  # type: ignore[no-untyped-call]
    return y


def silu_times(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate)·up of tensors of the same shape that `suits`."""
    y: Tensor = _SiluTimes.apply(gate, up)  # type: ignore[no-untyped-call]
    return y


class _GeluTanh(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = dense(x)
        y = torch.empty_like(x)
        library().luban_gelu_tanh(x.data_ptr(), y.data_ptr(), x.numel(), torch.get_num_threads())
        ctx.save_for_backward(x)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        grad, by_x = laid_out(grad, x), torch.empty_like(x)
        where = (t.data_ptr() for t in (x, grad, by_x))
        library().luban_gelu_tanh_back(*where, x.numel(), torch.get_num_threads())
        return by_x


class _Gradients(ctypes.Structure):
    """The struct SiluTimes of kernels.h."""

    _fields_: ClassVar = [(name, ctypes.c_void_p) for name in ("gate", "up", "grad", "by_gate", "by_up")]


class _SiluTimes(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        gate = dense(gate)
        up = laid_out(up, gate)
        y = torch.empty_like(gate)
        where = (t.data_ptr() for t in (gate, up, y))
        library().luban_silu_times(*where, gate.numel(), torch.get_num_threads())
        ctx.save_for_backward(gate, up)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        grad = laid_out(grad, gate)
        by_gate, by_up = torch.empty_like(gate), torch.empty_like(gate)
        struct = _Gradients(*(t.data_ptr() for t in (gate, up, grad, by_gate, by_up)))
        library().luban_silu_times_back(ctypes.addressof(struct), gate.numel(), torch.get_num_threads())
        return by_gate, by_up
