"""Longer rows than a model was trained on."""

from __future__ import annotations

import dataclasses
from typing import Literal

from luban.errors import ConfigError
from luban.models.changes import resize_positions, set_config
from luban.models.config import RopeScaling, TransformerConfig
from luban.models.model import Model
from luban.models.rope_config import sharpness


def stretch_rope(model: Model, kind: Literal["linear", "dynamic", "llama3", "yarn"], factor: float) -> Model:
    """Let rotary positions reach `factor` times as far; no weight changes.

    The kinds are those of `RopeScaling`, with the constants that their papers recommend.
    """
    trunk = model.config.trunk
    if not isinstance(trunk, TransformerConfig) or trunk.position != "rotary":
        how = "interpolate_positions" if trunk.position == "learned" else "a larger max_len alone"
        raise ConfigError(
            f"the positions of this {model.config.family} model are {trunk.position}, not rotary",
            fix=f"use {how}" if trunk.position != "none" else "none are needed",
        )
    if trunk.rope_scaling is not None:
        raise ConfigError(
            f"these rotary positions are stretched already ({trunk.rope_scaling.kind}, "
            f"{trunk.rope_scaling.factor:g} times)",
            fix="start from the model before that",
        )
    if not factor > 1:
        raise ConfigError(f"factor = {factor} stretches nothing", fix="set it above 1, such as 2 or 4")
    longest = model.config.max_len
    scaling = RopeScaling(
        kind=kind,
        factor=float(factor),
        original_max_len=0 if kind == "linear" else longest,
        magnitude=sharpness(factor) if kind == "yarn" else 1.0,
    )
    trunk = dataclasses.replace(trunk, rope_scaling=scaling)
    encoder = model.config.encoder and dataclasses.replace(model.config.encoder, rope_scaling=scaling)
    set_config(model, dataclasses.replace(model.config, trunk=trunk, encoder=encoder))
    return resize_positions(model, round(longest * factor))


def interpolate_positions(model: Model, max_len: int) -> Model:
    """Draw learned positions out to `max_len` rows, or cut them to it; see `resize_positions`."""
    if model.stem.positions is None or model.config.trunk.position != "learned":
        raise ConfigError(
            f"the positions of this {model.config.family} model are {model.config.trunk.position}, "
            "and there is no table to interpolate",
            fix="use stretch_rope" if model.config.trunk.position == "rotary" else "set max_len alone",
        )
    return resize_positions(model, max_len)
