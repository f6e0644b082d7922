"""Another head on the trunk that a model has."""

from __future__ import annotations

import dataclasses

from luban.models.config import HeadConfig
from luban.models.families import FAMILIES
from luban.models.heads import HEADS
from luban.models.initialise import initialise
from luban.models.model import Model


def swap_head(model: Model, head: HeadConfig, seed: int = 1) -> Model:
    """Give `model` another head in place and return it.

    The new head's weights are drawn by `seed`; a pooler that both heads have keeps what it learnt.
    A token head that is tied goes on using the stem's embedding. `load_model(folder, head=...)` does
    the same while reading a folder.
    """
    config = dataclasses.replace(model.config, head=FAMILIES[model.config.family].fit(head, model.config))
    pooler = getattr(model.head, "pooler", None)
    embedding = model.stem.tokens.weight
    model.config = config
    model.head = HEADS[config.head.kind](config).to(embedding.device, embedding.dtype)
    model.tie()
    fresh = {name for name, p in model.named_parameters() if name.startswith("head.") and p is not embedding}
    if pooler is not None and getattr(model.head, "pooler", None) is not None:
        model.head.pooler = pooler
        fresh = {name for name in fresh if not name.startswith("head.pooler.")}
    initialise(model, seed, only=frozenset(fresh))
    return model
