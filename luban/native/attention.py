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
    """The struct of attention.cpp."""

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
    n_rows, n_kv_heads, room, head_dim = past.keys.shape
    turned, turn_stride, cos, sin = 0, 0, None, None
    if turn is not None:
        cos, sin = (part.contiguous() for part in turn)
        turned = cos.shape[-1]
        turn_stride = turned if cos.shape[0] > 1 else 0
    if mask is not None:
        mask = mask.contiguous()
    out = torch.empty_like(q)
    attention = _Attention(
        past.keys.data_ptr(),
        past.values.data_ptr(),
        None if cos is None else cos.data_ptr(),
        None if sin is None else sin.data_ptr(),
        None if mask is None else mask.data_ptr(),
        n_rows,
        q.numel() // (n_rows * head_dim),
        n_kv_heads,
        head_dim,
        room,
        past.n_tokens,
        turned,
        turn_stride,
        0 if mask is None or mask.shape[0] == 1 else mask.stride(0),
        0 if mask is None or mask.shape[1] == 1 else mask.stride(1),
        scale,
    )
    library().luban_attend(
        ctypes.addressof(attention), *(t.data_ptr() for t in (q, k, v, out)), torch.get_num_threads()
    )
    past.n_tokens += 1
    return out
