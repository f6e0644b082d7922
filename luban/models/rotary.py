"""Rotary positions: queries and keys turn with their place, so that their product tells the distance.

Source: arXiv:2104.09864; the scalings that stretch them, see `RopeScaling`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from luban.models.config import RopeScaling, TransformerConfig

Rotation = tuple[Tensor, Tensor]
"""Cosine, and sine with the sign each half takes; each (1 or B, 1, T, D)."""


def rotation(positions: Tensor, config: TransformerConfig, dtype: torch.dtype) -> Rotation:
    """Return the turn of each feature pair at positions (1 or B, T); always computed in float32."""
    width = config.rotary_dim or config.head_dim
    speeds, magnitude = _speeds(positions, width, config.rope_theta, config.rope_scaling)
    angles = positions.unsqueeze(-1).float() * speeds  # (B, T, width/2)
    cos, sin = angles.cos() * magnitude, angles.sin() * magnitude
    # The sign of a turn is in the sine, so that turning is one product and one sum.
    pairs = torch.cat([cos, cos], dim=-1), torch.cat([-sin, sin], dim=-1)
    return pairs[0].unsqueeze(1).to(dtype), pairs[1].unsqueeze(1).to(dtype)


def rotate(x: Tensor, turn: Rotation) -> Tensor:
    """Turn queries or keys (B, H, T, D); feature i is paired with i + half of what turns."""
    cos, sin = turn
    width = cos.shape[-1]
    if width < x.shape[-1]:
        return torch.cat([rotate(x[..., :width], turn), x[..., width:]], dim=-1)
    first, second = x.chunk(2, dim=-1)
    return torch.addcmul(x * cos, torch.cat([second, first], dim=-1), sin)


def _speeds(positions: Tensor, width: int, theta: float, scaling: RopeScaling | None) -> tuple[Tensor, float]:
    """Return the angle of each pair a position (width/2,), and the length of a turned vector."""
    exponent = torch.arange(0, width, 2, device=positions.device, dtype=torch.float32) / width
    if scaling is None:
        return 1.0 / theta**exponent, 1.0
    if scaling.kind == "dynamic":
        n_seen = (positions.max() + 1).clamp(min=scaling.original_max_len)
        stretch = scaling.factor * n_seen / scaling.original_max_len - (scaling.factor - 1)
        return 1.0 / (theta * stretch ** (width / (width - 2))) ** exponent, 1.0
    speeds = 1.0 / theta**exponent
    if scaling.kind == "linear":
        return speeds / scaling.factor, 1.0
    if scaling.kind == "llama3":
        return _by_wavelength(speeds, scaling), 1.0
    return _by_turns(speeds, width, theta, scaling), scaling.magnitude


def _by_wavelength(speeds: Tensor, scaling: RopeScaling) -> Tensor:
    """Stretch long waves, keep short ones, and blend those in between (Llama 3.1)."""
    waves_in_row = scaling.original_max_len * speeds / (2 * math.pi)
    low, high = scaling.low_freq_factor, scaling.high_freq_factor
    kept = ((waves_in_row - low) / (high - low)).clamp(0, 1)
    return (1 - kept) * speeds / scaling.factor + kept * speeds


def _by_turns(speeds: Tensor, width: int, theta: float, scaling: RopeScaling) -> Tensor:
    """Stretch what turns few times in the original length, keep what turns often (YaRN section 3.2)."""
    low, high = (
        width * math.log(scaling.original_max_len / (turns * 2 * math.pi)) / (2 * math.log(theta))
        for turns in (scaling.beta_fast, scaling.beta_slow)
    )
    if scaling.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, width - 1)
    place = torch.arange(width // 2, device=speeds.device, dtype=torch.float32)
    stretched = ((place - low) / ((high - low) or 0.001)).clamp(0, 1)
    return speeds / scaling.factor * stretched + speeds * (1 - stretched)
