"""More layers, or fewer, or the same in another order."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn

from luban.errors import ConfigError
from luban.models.changes import set_config
from luban.models.config import NoTrunkConfig, TransformerConfig
from luban.models.model import Model

Part = Literal["trunk", "encoder"]
"""Which stack: the only one, or the decoder; or the encoder of a model that has both."""


def keep_layers(model: Model, layers: Sequence[int], part: Part = "trunk") -> Model:
    """Keep the layers named, counted from 0, and drop the others."""
    if list(layers) != sorted(set(layers)):
        raise ConfigError(
            f"keep_layers = {list(layers)} is not in rising order",
            fix=f"write {sorted(set(layers))}, or use stack_layers to repeat layers",
        )
    return stack_layers(model, layers, part)


def stack_layers(model: Model, layers: Sequence[int], part: Part = "trunk") -> Model:
    """Build the stack anew of its own layers: stack_layers(model, [0, 1, 1, 2]) copies the second."""
    blocks = _blocks(model, part)
    wrong = [i for i in layers if not 0 <= i < len(blocks)]
    if wrong or not layers:
        what = f"names layer {wrong[0]}" if wrong else "is empty"
        raise ConfigError(
            f"layers = {list(layers)} {what}, and this model has layers 0 to {len(blocks) - 1}",
            fix="name one or more of them",
        )
    used: set[int] = set()
    stack = []
    for i in layers:
        stack.append(copy.deepcopy(blocks[i]) if i in used else blocks[i])
        used.add(i)
    return _restack(model, stack, part)


def upscale_depth(model: Model, n_dropped: int, part: Part = "trunk") -> Model:
    """Put two copies on each other, the lower without its last layers, the upper without its first.

    n layers become 2·(n - n_dropped). Source: arXiv:2312.15166 section 2 (n = 32, n_dropped = 8).
    """
    n = len(_blocks(model, part))
    if not 0 <= n_dropped < n:
        raise ConfigError(
            f"n_dropped = {n_dropped} leaves nothing of {n} layers", fix=f"drop 0 to {n - 1} of each copy"
        )
    return stack_layers(model, [*range(n - n_dropped), *range(n_dropped, n)], part)


@torch.no_grad()
def insert_identity_layers(model: Model, after: Sequence[int], part: Part = "trunk") -> Model:
    """Put a copy after each layer named that adds nothing yet: what the model says stays, bit for bit.

    The copy's last matrices are 0, so that it can learn. Source: arXiv:2401.02415 section 3.2.
    """
    blocks = _blocks(model, part)
    config = model.config.encoder if part == "encoder" else model.config.trunk
    if not isinstance(config, TransformerConfig) or config.norm_place == "after":
        raise ConfigError(
            f"a layer of this {model.config.family} model cannot pass its input through",
            fix="use a model with a norm before each sublayer, such as gpt2, llama or t5",
        )
    layers = sorted([*range(len(blocks)), *after])
    model = stack_layers(model, layers, part)
    stack = _blocks(model, part)
    for place in range(1, len(layers)):
        if layers[place] == layers[place - 1]:
            for name, parameter in stack[place].named_parameters():
                if name.startswith(("attention.out.", "cross.out.", "mlp.down.")):
                    parameter.zero_()
    return model


def _blocks(model: Model, part: Part) -> nn.ModuleList:
    if part == "encoder" and model.encoder is None:
        raise ConfigError(
            f"this {model.config.family} model has no encoder beside its trunk", fix='use part="trunk"'
        )
    if part == "trunk" and isinstance(model.config.trunk, NoTrunkConfig):
        raise ConfigError(f"this {model.config.family} model has no layers", fix="use another family")
    stack = model.encoder.trunk if part == "encoder" and model.encoder is not None else model.trunk
    assert isinstance(stack.blocks, nn.ModuleList)
    return stack.blocks


def _restack(model: Model, stack: Sequence[nn.Module], part: Part) -> Model:
    config, blocks = model.config, nn.ModuleList(stack)
    if part == "encoder":
        assert config.encoder is not None
        assert model.encoder is not None
        model.encoder.trunk.blocks = blocks
        encoder = dataclasses.replace(config.encoder, n_layers=len(blocks))
        set_config(model, dataclasses.replace(config, encoder=encoder))
    else:
        assert not isinstance(config.trunk, NoTrunkConfig)
        model.trunk.blocks = blocks
        trunk = dataclasses.replace(config.trunk, n_layers=len(blocks))
        set_config(model, dataclasses.replace(config, trunk=trunk))
    return model
