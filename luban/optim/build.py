"""The optimizer that settings ask for; torch does its arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from luban.optim.eager import eager
from luban.optim.groups import parameter_groups
from luban.optim.rules import Muon, decoupled_sgd
from luban.optim.settings import OptimSettings

Groups = list[dict[str, Any]]


def build_optimizer(
    model: nn.Module,
    settings: OptimSettings,
    lr_scale: Callable[[str], float] | None = None,
    first_step: Callable[[str], int] | None = None,
) -> torch.optim.Optimizer:
    """Return the optimizer named in the settings, over the model's parameter groups.

    Weight decay is decoupled for every one of them: it never goes through the gradient. So adam and
    adamw differ only in name. Fused passes over memory once.
    """
    groups = parameter_groups(
        model,
        settings.weight_decay,
        decay_embeddings=settings.decay_embeddings,
        lr_scale=lr_scale,
        first_step=first_step,
    )
    return RULES[settings.optimizer](model, groups, settings)


def _adamw(model: nn.Module, groups: Groups, settings: OptimSettings) -> torch.optim.Optimizer:
    betas = (settings.beta1, settings.beta2)
    return eager(torch.optim.AdamW)(groups, lr=settings.lr, betas=betas, fused=True)


def _adam(model: nn.Module, groups: Groups, settings: OptimSettings) -> torch.optim.Optimizer:
    betas = (settings.beta1, settings.beta2)
    return eager(torch.optim.Adam)(
        groups, lr=settings.lr, betas=betas, decoupled_weight_decay=True, fused=True
    )


def _sgd(model: nn.Module, groups: Groups, settings: OptimSettings) -> torch.optim.Optimizer:
    return decoupled_sgd(groups, settings)


def _adafactor(model: nn.Module, groups: Groups, settings: OptimSettings) -> torch.optim.Optimizer:
    return eager(torch.optim.Adafactor)(groups, lr=settings.lr)


def _muon(model: nn.Module, groups: Groups, settings: OptimSettings) -> torch.optim.Optimizer:
    return eager(Muon)(*_split(groups, _hidden_matrices(model)), settings)


def _hidden_matrices(model: nn.Module) -> set[int]:
    """Return the ids of the trunk's own matrices: no tables in it, and no low-rank adapters."""
    return {
        id(p)
        for place, module in model.named_modules()
        if "trunk" in place.split(".") and isinstance(module, nn.Linear | nn.RNNBase)
        for name, p in module.named_parameters(recurse=False)
        if name.startswith("weight") and p.ndim == 2
    }


def _split(groups: Groups, inside: set[int]) -> tuple[Groups, Groups]:
    parts: tuple[Groups, Groups] = ([], [])
    for group in groups:
        for part, wanted in zip(parts, (True, False), strict=True):
            chosen = [p for p in group["params"] if (id(p) in inside) is wanted]
            if chosen:
                part.append({**group, "params": chosen})
    return parts


RULES: dict[str, Callable[[nn.Module, Groups, OptimSettings], torch.optim.Optimizer]] = {
    "adamw": _adamw,
    "adam": _adam,
    "sgd": _sgd,
    "adafactor": _adafactor,
    "muon": _muon,
}
