"""Which parameters decay, and how fast each learns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from luban.errors import ConfigError


def parameter_groups(
    model: nn.Module,
    weight_decay: float,
    *,
    decay_embeddings: bool = False,
    lr_scale: Callable[[str], float] | None = None,
    first_step: Callable[[str], int] | None = None,
) -> list[dict[str, Any]]:
    """Group the trainable parameters by decay and by learning-rate scale.

    Matrices decay and are penalised; norms, biases and, unless told otherwise, embeddings are not.
    `lr_scale` maps a parameter's name to a multiple of the learning rate, for faster heads or slower
    lower layers, and `first_step` to the step from which it learns. A weight that an embedding and the
    output head share counts as an embedding. Frozen parameters are left out.
    """
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    spared = set() if decay_embeddings else embeddings
    groups: dict[tuple[bool, float, int], dict[str, Any]] = {}
    for name, p in model.named_parameters():
        if not p.requires_grad:
            continue
        penalised = p.ndim >= 2 and id(p) not in spared
        decay = weight_decay if penalised else 0.0
        scale = lr_scale(name) if lr_scale else 1.0
        first = first_step(name) if first_step else 1
        group = groups.setdefault(
            (penalised, scale, first),
            {
                "params": [],
                "weight_decay": decay,
                "lr_scale": scale,
                "penalised": penalised,
                "first_step": first,
            },
        )
        group["params"].append(p)
    if not groups:
        raise ConfigError("every parameter is frozen", fix="leave out some patterns of freeze")
    return list(groups.values())
