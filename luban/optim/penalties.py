"""L1 and L2: penalties on weights that go through the gradient, unlike decoupled decay."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch


@torch.no_grad()
def add_penalties(groups: Iterable[dict[str, Any]], l1: float, l2: float) -> None:
    """Add l2·w + l1·sign(w) to the gradients of the groups that are penalised."""
    if not (l1 or l2):
        return
    for group in groups:
        if group["penalised"]:
            reached = [p for p in group["params"] if p.grad is not None]
            grads: list[torch.Tensor] = [p.grad for p in reached]
            if l2:
                torch._foreach_add_(grads, reached, alpha=l2)
            if l1:
                torch._foreach_add_(grads, torch._foreach_sign(reached), alpha=l1)
