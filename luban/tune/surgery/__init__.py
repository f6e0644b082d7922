"""Change the structure of a finished model: each function changes it in place and returns it.

The config follows, so that a changed model is saved and loaded like any other.
"""

from __future__ import annotations

from luban.models.changes import reinitialise, resize_vocabulary
from luban.tune.surgery.activation import change_activation
from luban.tune.surgery.depth import insert_identity_layers, keep_layers, stack_layers, upscale_depth
from luban.tune.surgery.head import swap_head
from luban.tune.surgery.positions import interpolate_positions, stretch_rope
from luban.tune.surgery.vocabulary import extend_vocabulary

__all__ = [
    "change_activation",
    "extend_vocabulary",
    "insert_identity_layers",
    "interpolate_positions",
    "keep_layers",
    "reinitialise",
    "resize_vocabulary",
    "stack_layers",
    "stretch_rope",
    "swap_head",
    "upscale_depth",
]
