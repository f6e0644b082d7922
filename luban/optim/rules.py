"""Rules of the step that torch has only in part."""

from __future__ import annotations

from typing import Any

import torch

from luban.errors import ConfigError
from luban.optim.settings import OptimSettings

Groups = list[dict[str, Any]]


class DecoupledSgd(torch.optim.SGD):
    """SGD whose weight decay stays out of the momentum. Source: arXiv:1711.05101, algorithm 1."""

    def __init__(self, groups: Groups, lr: float, momentum: float, nesterov: bool):
        apart = [{**group, "weight_decay": 0.0, "decay": group["weight_decay"]} for group in groups]
        super().__init__(apart, lr=lr, momentum=momentum, nesterov=nesterov and momentum > 0, fused=True)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Decay the weights that have a gradient, then descend."""
        for group in self.param_groups:
            reached = [p for p in group["params"] if p.grad is not None]
            if group["decay"] and reached:
                torch._foreach_mul_(reached, 1 - group["lr"] * group["decay"])
        return super().step(closure)


class Muon(torch.optim.Optimizer):
    """Muon for matrices and AdamW for the rest, as one optimizer.

    Muon's steps are scaled to the size of AdamW's, so that one learning rate fits both.
    Source: arXiv:2502.16982, section 2.2.
    """

    def __init__(self, matrices: Groups, rest: Groups, settings: OptimSettings):
        if not matrices:
            raise ConfigError("muon has no matrix to train", fix="optimizer: adamw")
        muon = torch.optim.Muon(
            matrices,
            lr=settings.lr,
            momentum=settings.momentum,
            nesterov=settings.nesterov,
            adjust_lr_fn="match_rms_adamw",
        )
        betas = (settings.beta1, settings.beta2)
        adamw = [torch.optim.AdamW(rest, lr=settings.lr, betas=betas, fused=True)] if rest else []
        self._parts: list[torch.optim.Optimizer] = [muon, *adamw]
        super().__init__([group for part in self._parts for group in part.param_groups], {})
        self._join()

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Let each part take its step."""
        for part in self._parts:
            part.step()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take a saved state over and deal it to the parts."""
        super().load_state_dict(state_dict)
        start = 0
        for part in self._parts:
            end = start + len(part.param_groups)
            part.param_groups = self.param_groups[start:end]
            start = end
        self._join()

    def _join(self) -> None:
        """Share one state, so that every part reads and writes the same."""
        state = self.state
        for part in self._parts:
            part.state = state
        self.param_groups: list[dict[str, Any]] = [g for part in self._parts for g in part.param_groups]
