"""Rules of the step that torch has only in part."""

from __future__ import annotations

from typing import Any

import torch

from luban.errors import ConfigError
from luban.optim.eager import eager
from luban.optim.settings import OptimSettings

Groups = list[dict[str, Any]]


def decoupled_sgd(groups: Groups, settings: OptimSettings) -> torch.optim.Optimizer:
    """Return SGD whose weight decay stays out of the momentum. Source: arXiv:1711.05101, algorithm 1."""
    apart = [{**group, "weight_decay": 0.0, "decay": group["weight_decay"]} for group in groups]
    nesterov = settings.nesterov and settings.momentum > 0
    optimizer = eager(torch.optim.SGD)(
        apart, lr=settings.lr, momentum=settings.momentum, nesterov=nesterov, fused=True
    )
    optimizer.register_step_pre_hook(_decay)
    return optimizer


@torch.no_grad()
def _decay(optimizer: torch.optim.Optimizer, args: object, kwargs: object) -> None:
    """Shrink the weights that have a gradient."""
    for group in optimizer.param_groups:
        reached = [p for p in group["params"] if p.grad is not None]
        if group["decay"] and reached:
            torch._foreach_mul_(reached, 1 - group["lr"] * group["decay"])


class Muon(torch.optim.Optimizer):
    """Muon for matrices and AdamW for the rest, as one optimizer.

    Muon's steps are scaled to the size of AdamW's, so that one learning rate fits both.
    Source: arXiv:2502.16982, section 2.2.
    """

    def __init__(self, matrices: Groups, rest: Groups, settings: OptimSettings):
        if not matrices:
            raise ConfigError("muon has no matrix to train", fix="optimizer: adamw")
        muon = eager(torch.optim.Muon)(
            [{**group, "rule": 0} for group in matrices],
            lr=settings.lr,
            momentum=settings.momentum,
            nesterov=settings.nesterov,
            adjust_lr_fn="match_rms_adamw",
        )
        self._rules: list[torch.optim.Optimizer] = [muon]
        if rest:
            betas = (settings.beta1, settings.beta2)
            others = [{**group, "rule": 1} for group in rest]
            self._rules.append(eager(torch.optim.AdamW)(others, lr=settings.lr, betas=betas, fused=True))
        super().__init__([group for rule in self._rules for group in rule.param_groups], {})

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Let each rule take its step, over the groups and the state as they are now."""
        for i, rule in enumerate(self._rules):
            rule.state = self.state
            rule.param_groups = [group for group in self.param_groups if group["rule"] == i]
            rule.step()
