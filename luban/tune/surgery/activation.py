"""Another activation in the MLPs that a model has."""

from __future__ import annotations

import dataclasses

from luban.config import nearest
from luban.errors import ConfigError
from luban.models.changes import set_config
from luban.models.config import Activation, TransformerConfig
from luban.models.heads import Transform
from luban.models.mlp import ACTIVATIONS, MLP
from luban.models.model import Model


def change_activation(model: Model, activation: Activation) -> Model:
    """Let every MLP use another activation; an encoder's too, and a head's that follows the trunk's."""
    config = model.config
    if activation not in ACTIVATIONS:
        raise ConfigError(f"activation = {activation!r} is none", fix=nearest(activation, ACTIVATIONS))
    if not isinstance(config.trunk, TransformerConfig):
        raise ConfigError(
            f"this {config.family} model has no MLP whose activation could change",
            fix="use a Transformer; the kind of a recurrent layer is model.cell",
        )
    for module in model.modules():
        follows = isinstance(module, Transform) and config.head.activation is None
        if isinstance(module, MLP) or follows:
            module.activation = ACTIVATIONS[activation]  # type: ignore[assignment]
    trunk = dataclasses.replace(config.trunk, activation=activation)
    encoder = config.encoder and dataclasses.replace(config.encoder, activation=activation)
    set_config(model, dataclasses.replace(config, trunk=trunk, encoder=encoder))
    return model
