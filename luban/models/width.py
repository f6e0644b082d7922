"""What muP scales by the width, so that a learning rate found on a narrow model serves a wide one.

Source: arXiv:2203.03466, table 8 (the form that a tied embedding allows). At a width of 256 and heads
of 64, all is as without it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from luban.models.config import ModelConfig, TransformerConfig

if TYPE_CHECKING:
    from torch import nn

BASE_DIM, BASE_HEAD_DIM = 256, 64
INPUTS = ("stem.", "encoder.stem.conv1.", "encoder.stem.tokens.", "encoder.stem.positions.")
"""What reads from something whose size does not grow with the width."""


def score_scale(dim: int) -> float:
    """Return what token scores are multiplied by."""
    return BASE_DIM / dim


def attention_scale(head_dim: int) -> float:
    """Return what queries times keys are multiplied by: 1/head_dim, where others take its root."""
    return math.sqrt(BASE_HEAD_DIM) / head_dim


def hidden_gain(dim: int) -> float:
    """Return the multiple of a hidden matrix's first deviation: 1/sqrt(fan-in), relative to the base."""
    return math.sqrt(BASE_DIM / dim)


def lr_dim(config: ModelConfig) -> int:
    """Return the width that a learning rate is for: the model's own, or the base of one begun by "mup"."""
    return BASE_DIM if getattr(config.trunk, "init", "normal") == "mup" else config.dim


def width_lr_scale(model: nn.Module, config: ModelConfig) -> Callable[[str], float]:
    """Return the function from a parameter's name to its multiple of Adam's learning rate.

    Matrices whose both sides grow with the width get 256/dim; embeddings, vectors and the vocabulary's
    matrix, whose scores are scaled instead, get 1. All get 1 unless the model was initialised by "mup".
    """
    trunk = config.trunk
    if not (isinstance(trunk, TransformerConfig) and trunk.init == "mup"):
        return lambda name: 1.0
    matrices = {name for name, p in model.named_parameters() if p.ndim > 1}
    hidden = {n for n in matrices if not n.startswith(INPUTS) and not n.endswith("distances.weight")}
    hidden -= {"head.weight"}
    return lambda name: BASE_DIM / trunk.dim if name in hidden else 1.0
