"""A new model with first weights, the same for the same seed."""

from __future__ import annotations

import torch

from luban.models.config import ModelConfig
from luban.models.initialise import initialise
from luban.models.model import Model


def build_model(config: ModelConfig, seed: int = 1) -> Model:
    """Return a model with fresh weights, the same for the same seed; torch's own seed is untouched."""
    with torch.device("meta"):  # weights drawn twice would cost twice
        model = Model(config)
    # Not to_empty: for tensors without data, torch imports a solver of shapes, half a second at every start.
    empty = {name: torch.empty(t.shape, dtype=t.dtype) for name, t in model.state_dict().items()}
    model.load_state_dict(empty, assign=True)
    model.tie()
    initialise(model, seed)
    return model
