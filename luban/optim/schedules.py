"""The learning rate of every step."""

from __future__ import annotations

import math
from collections.abc import Callable

from luban.optim.settings import OptimSettings


def lr_at(settings: OptimSettings) -> Callable[[int], float]:
    """Return step → learning rate: a straight rise to the peak, then half a cosine down.

    The peak falls on the last step of the warm-up, the lowest rate on the last step of all.
    """
    peak_step = max(1, settings.warmup_steps)
    lowest = settings.lr * settings.min_lr_share

    def at(step: int) -> float:
        if step <= peak_step:
            return settings.lr * (step / peak_step)
        done = (step - peak_step) / (settings.steps - peak_step)
        return lowest + (settings.lr - lowest) * (1 + math.cos(math.pi * done)) / 2

    return at
