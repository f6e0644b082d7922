"""Attention of one new token a row over what its row has read."""

from __future__ import annotations

import ctypes
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from luban.native.build import library


class Past(Protocol):
    """Keys and values of one layer (B, K, room, D), of which the first `n_tokens` are filled."""

    keys: Tensor
    values: Tensor
    n_tokens: int


class _Attention(ctypes.Structure):
    """The struct of kernels.h."""

    _fields_: ClassVar = [
        *((name, ctypes.c_void_p) for name in ("keys", "values", "cos", "sin", "mask")),
        *((name, ctypes.c_int64) for name in ("batch", "n_heads", "n_kv_heads", "head_dim", "room")),
        *((name, ctypes.c_int64) for name in ("n_past", "turned")),
        *((name, ctypes.c_int64) for name in ("turn_stride", "mask_row_stride", "mask_head_stride")),
        ("scale", ctypes.c_float),
    ]


def can_attend(past: Past) -> bool:
    """Whether keys and values lie as `attend` needs them, and no gradient is wanted."""
    return (
        past.keys.dtype == torch.float32
        and past.keys.is_cpu
        and past.keys.is_contiguous()
        and past.values.is_contiguous()
        and not torch.is_grad_enabled()
    )


def attend(
    projected: tuple[Tensor, Tensor, Tensor],
    past: Past,
    turn: tuple[Tensor, Tensor] | None,
    mask: Tensor | None,
    scale: float,
) -> Tensor:
    """Remember one token's key and value a row, and read what the row has: -> (B, 1, H·D).

    projected: queries (B, 1, H·D), keys and values (B, 1, K·D), contiguous and not turned yet.
    turn: cosine and signed sine, each (1 or B, 1, 1, width). mask (1 or B, 1 or H, 1, S) is added.
    """
    q, k, v = projected
    out = torch.empty_like(q)
    attention, _held = describe(past, q.shape[-1] // past.keys.shape[-1], turn, mask, scale)
    library().luban_attend(
        ctypes.addressof(attention), *(t.data_ptr() for t in (q, k, v, out)), torch.get_num_threads()
    )
    past.n_tokens += 1
    return out


def describe(
    past: Past, n_heads: int, turn: tuple[Tensor, Tensor] | None, mask: Tensor | None, scale: float
) -> tuple[ctypes.Structure, object]:
    """Return the struct that the kernels read, and what must live as long as it."""
    n_rows, n_kv_heads, room, head_dim = past.keys.shape
    cos, sin = (None, None) if turn is None else (part.contiguous() for part in turn)
    turned = 0 if cos is None else cos.shape[-1]
    mask = None if mask is None else mask.contiguous()
    struct = _Attention(
        past.keys.data_ptr(),
        past.values.data_ptr(),
        None if cos is None else cos.data_ptr(),
        None if sin is None else sin.data_ptr(),
        None if mask is None else mask.data_ptr(),
        n_rows,
        n_heads,
        n_kv_heads,
        head_dim,
        room,
        past.n_tokens,
        turned,
        0 if cos is None or cos.shape[0] == 1 else turned,
        0 if mask is None or mask.shape[0] == 1 else mask.stride(0),
        0 if mask is None or mask.shape[1] == 1 else mask.stride(1),
        scale,
    )
    return struct, (cos, sin, mask)
