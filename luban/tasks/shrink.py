"""A small model of the same kind: fewer and narrower layers in the same ratios, all choices kept."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from luban.models.build import build_model
from luban.models.config import ModelConfig, RecurrentConfig, TransformerConfig, Trunk
from luban.models.model import Model
from luban.tune.bottleneck import ENDS, attach_bottlenecks, bottlenecks
from luban.tune.front import attach_front, first_table, front_of
from luban.tune.lora import adapted, attach, can_adapt
from luban.tune.low_rank import DoraLinear, LoraLinear, LowRank
from luban.tune.settings import BottleneckSettings, LoraSettings, Place

N_LAYERS, KV_HEADS, HEAD_DIM, DIM = 2, 2, 16, 32
"""Most of each that a small model has."""
RANK = 4
DROPOUTS = ("dropout", "attention_dropout", "mlp_dropout")
_BLOCK = re.compile(r"^(encoder\.)?(trunk\.blocks\.)(\d+)")


def shrunk_config(config: ModelConfig, *, dropout: bool = True) -> ModelConfig:
    """Return the config of a small model of the same kind, its vocabulary and longest row the same."""
    trunk = _shrunk(config.trunk, dropout)
    encoder = None
    if config.encoder is not None:
        encoder = _shrunk(config.encoder, dropout)
        encoder = dataclasses.replace(encoder, dim=trunk.dim)
    return dataclasses.replace(config, trunk=trunk, encoder=encoder)


def _shrunk(trunk: Trunk, dropout: bool) -> Any:
    quiet: dict[str, Any] = {} if dropout else {name: 0.0 for name in DROPOUTS if hasattr(trunk, name)}
    if isinstance(trunk, TransformerConfig):
        return dataclasses.replace(trunk, **_sizes(trunk), **quiet)
    if isinstance(trunk, RecurrentConfig):
        sizes: dict[str, Any] = {"dim": min(DIM, trunk.dim), "n_layers": min(N_LAYERS, trunk.n_layers)}
        return dataclasses.replace(trunk, **sizes, **quiet)
    return dataclasses.replace(trunk, dim=min(DIM, trunk.dim), **quiet)


def _sizes(trunk: TransformerConfig) -> dict[str, Any]:
    """Keep query heads per key head, the share of a head that turns, and widths relative to each other."""
    n_kv_heads = min(KV_HEADS, trunk.n_kv_heads)
    n_heads = trunk.n_heads // trunk.n_kv_heads * n_kv_heads
    head_dim = trunk.head_dim if trunk.head_dim <= HEAD_DIM else HEAD_DIM
    dim = _even(trunk.dim * n_heads * head_dim / (trunk.n_heads * trunk.head_dim))
    rotary_dim = trunk.rotary_dim and _even(trunk.rotary_dim * head_dim / trunk.head_dim)
    return {
        "n_layers": min(N_LAYERS, trunk.n_layers),
        "n_kv_heads": n_kv_heads,
        "n_heads": n_heads,
        "head_dim": head_dim,
        "dim": dim,
        "ffn_dim": max(2, round(trunk.ffn_dim * dim / trunk.dim)),
        "rotary_dim": rotary_dim,
    }


def _even(value: float) -> int:
    return max(4, 2 * round(value / 2))


def shrunk_builder(model: Model, seed: int) -> Callable[[bool], Model]:
    """Return the function that builds the small model, with dropout or without, weights always the same.

    What is frozen there is frozen here, layers with adapters have adapters, and what is in front is too.
    """
    name_there = original_name(model.config)
    learns = {name for name, p in model.named_parameters() if p.requires_grad}
    layers, front, has_bottlenecks = adapted(model), front_of(model), bool(bottlenecks(model))

    def build(dropout: bool) -> Model:
        config = shrunk_config(model.config, dropout=dropout)
        if front:  # it takes its length off the longest row again
            n = min(RANK, front.n)
            small = build_model(dataclasses.replace(config, max_len=config.max_len + n), seed=seed)
            attach_front(small, front.kind, first_table(small, front.kind, n, seed))
        else:
            small = build_model(config, seed=seed)
        if has_bottlenecks:
            attach_bottlenecks(small, BottleneckSettings(width=RANK, place=_place(model)), seed=seed)
        if layers:
            first = next(iter(layers.values()))
            rank = min(RANK, first.rank)
            settings = LoraSettings(
                rank=rank,
                alpha=first.scale * rank,
                dropout=first.dropout if dropout else 0.0,
                targets=tuple(n for n, m in small.named_modules() if _is_adapted(n, m, layers, name_there)),
            )
            attach(small, settings, seed=seed, linear=_kind(layers))
        for name, p in small.named_parameters():
            p.requires_grad_(name_there(name) in learns)
        return small

    return build


def _is_adapted(
    name: str, module: nn.Module, layers: dict[str, Any], name_there: Callable[[str], str]
) -> bool:
    return can_adapt(module) and name_there(name) in layers


def _place(model: Model) -> Place:
    return "both" if any(name.endswith(ENDS["both"][0]) for name in bottlenecks(model)) else "mlp"


def _kind(layers: Mapping[str, LowRank]) -> type[LoraLinear]:
    """Return the kind of adapter, where the small model's matrices, which are floats, can have it."""
    is_dora = any(isinstance(m, DoraLinear) for m in layers.values())
    return DoraLinear if is_dora else LoraLinear


def original_name(config: ModelConfig) -> Callable[[str], str]:
    """Return the function from a small model's name to that of the layer it stands for: the last ones."""
    offset = max(0, config.n_layers - N_LAYERS)
    encoder_offset = max(0, (config.encoder.n_layers if config.encoder else 0) - N_LAYERS)

    def there(name: str) -> str:
        return _BLOCK.sub(
            lambda m: f"{m[1] or ''}{m[2]}{int(m[3]) + (encoder_offset if m[1] else offset)}", name
        )

    return there
