"""The kernels that work on PyTorch's tensors, each with the same result as its PyTorch form."""

from __future__ import annotations

from luban.native.activation import gelu_tanh, silu_times
from luban.native.attention import attend, can_attend
from luban.native.block import Products, ThinBlock
from luban.native.build import is_available
from luban.native.dense import suits
from luban.native.linear import ThinLinear
from luban.native.norm import rms_norm
from luban.native.rotary import rotate

__all__ = [
    "Products",
    "ThinBlock",
    "ThinLinear",
    "attend",
    "can_attend",
    "gelu_tanh",
    "is_available",
    "rms_norm",
    "rotate",
    "silu_times",
    "suits",
]
