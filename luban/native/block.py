"""One block of a decoder for one new token a row."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, fields
from typing import ClassVar

import torch
from torch import Tensor

from luban.native.attention import Past, can_attend, describe
from luban.native.build import library
from luban.native.linear import MAX_ROWS, ThinLinear


@dataclass(frozen=True, slots=True, eq=False)
class Products:
    """The linear layers of a block, in the order of the struct in kernels.h."""

    q: ThinLinear
    k: ThinLinear
    v: ThinLinear
    out: ThinLinear
    gate: ThinLinear
    up: ThinLinear
    down: ThinLinear


class _Block(ctypes.Structure):
    """The struct of kernels.h."""

    _fields_: ClassVar = [
        ("attention_norm", ctypes.c_void_p),
        ("mlp_norm", ctypes.c_void_p),
        *((field.name, ctypes.c_void_p) for field in fields(Products)),
        ("eps", ctypes.c_float),
    ]


class ThinBlock:
    """x + attention(rms_norm(x)), then x + gated MLP with silu of rms_norm(x); without gradients."""

    def __init__(self, norms: tuple[Tensor, Tensor], products: Products, eps: float, scale: float):
        norms = norms[0].detach(), norms[1].detach()
        matrices = [getattr(products, field.name) for field in fields(products)]
        self._held = norms, matrices
        self._block = _Block(*(n.data_ptr() for n in norms), *(m.address for m in matrices), eps)
        self._address = ctypes.addressof(self._block)
        self._width, self._scale = products.q.n_out, scale
        self._call = library().luban_block

    def takes(self, x: Tensor, past: Past | None) -> bool:
        """Whether x (B, T, C) is one token of few rows that have a past, and no gradient is wanted."""
        return (
            past is not None
            and x.shape[1] == 1
            and 0 < x.shape[0] <= MAX_ROWS
            and x.dtype == torch.float32
            and x.is_contiguous()
            and can_attend(past)
        )

    def __call__(
        self, x: Tensor, past: Past, turn: tuple[Tensor, Tensor] | None, mask: Tensor | None
    ) -> Tensor:
        """Keep (B, 1, C); turn and mask as `attend` takes them."""
        attention, _held = describe(past, self._width // past.keys.shape[-1], turn, mask, self._scale)
        y = torch.empty_like(x)
        place = ctypes.addressof(attention)
        self._call(self._address, place, x.data_ptr(), y.data_ptr(), torch.get_num_threads())
        past.n_tokens += 1
        return y
