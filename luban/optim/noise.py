"""Noise on gradients, which helps very deep models out of bad places early on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

FADE = 0.55
"""Source: arXiv:1511.06807, section 3."""


def add_noise(parameters: Sequence[nn.Parameter], variance: float, step: int) -> None:
    """Add Gaussian noise of variance η / (1 + t)^0.55 to every gradient; t counts steps from 0."""
    deviation = (variance / step**FADE) ** 0.5
    for p in parameters:
        if p.grad is not None:
            p.grad.add_(torch.randn_like(p.grad), alpha=deviation)
