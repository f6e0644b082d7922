"""A linear layer for a few rows at a time: what decoding one token a row consists of."""

from __future__ import annotations

import ctypes
from typing import ClassVar

import torch
from torch import Tensor

from luban.native.build import library

MAX_ROWS = 16
"""With more rows the processor's arithmetic decides, and PyTorch's matrix product is as good."""

BLOCK = 32
FORMS = {"four bits": (3, 24), "eight bits": (2, 36), "bfloat16": (1, 64)}
"""Smaller forms, smallest first: the number that weights.h gives it, and bytes a block of 32 weights."""


class _Matrix(ctypes.Structure):
    """The struct of kernels.h."""

    _fields_: ClassVar = [
        ("weights", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("n_in", ctypes.c_int64),
        ("n_out", ctypes.c_int64),
        ("form", ctypes.c_int32),
    ]


class ThinLinear:
    """x Wᵀ + bias for up to 16 rows of x, without gradients: float32 in, float32 arithmetic, float32 out.

    Where the weights came from a file of fewer bits, they are read from a smaller form that gives back
    exactly the same numbers: decoding is as fast as memory is read. Else they are read where they lie.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None):
        weight, bias = weight.detach(), None if bias is None else bias.detach()
        self.form, packed = _pack(weight)
        # Kept, so that the memory stays while the struct points at it.
        self._held = (packed, bias)
        self.n_out, self.n_in = weight.shape
        number = FORMS[self.form][0] if self.form in FORMS else 0
        self._matrix = _Matrix(
            packed.data_ptr(), None if bias is None else bias.data_ptr(), self.n_in, self.n_out, number
        )
        self.address = ctypes.addressof(self._matrix)
        self._call = library().luban_linear

    @staticmethod
    def suits(weight: Tensor, bias: Tensor | None = None) -> bool:
        """Whether these are plain float32 matrices in this machine's memory."""
        return all(
            t.is_cpu and t.dtype == torch.float32 and t.is_contiguous() and t.layout == torch.strided
            for t in (weight, bias)
            if t is not None
        )

    def takes(self, x: Tensor) -> bool:
        """Whether x (..., n_in) has few enough rows, and no gradient is wanted."""
        return (
            0 < x.numel() <= MAX_ROWS * self.n_in
            and x.dtype == torch.float32
            and x.is_contiguous()
            and not torch.is_grad_enabled()
        )

    def __call__(self, x: Tensor) -> Tensor:
        """(..., n_in) -> (..., n_out)."""
        y = torch.empty(*x.shape[:-1], self.n_out)
        n_rows = x.numel() // self.n_in
        self._call(self.address, x.data_ptr(), y.data_ptr(), n_rows, torch.get_num_threads())
        return y


def _pack(weight: Tensor) -> tuple[str, Tensor]:
    """Return the smallest form that says exactly what `weight` says, and its bytes; or `weight` itself."""
    if weight.shape[1] % BLOCK == 0 and weight.numel():
        n_blocks = weight.numel() // BLOCK
        for form, (number, n_bytes) in FORMS.items():
            packed = torch.empty(n_blocks * n_bytes, dtype=torch.uint8)
            where = weight.data_ptr(), n_blocks, number, packed.data_ptr()
            if library().luban_pack(*where, torch.get_num_threads()):
                return form, packed
    return "float32", weight
