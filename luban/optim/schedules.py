"""The learning rate of every step."""

from __future__ import annotations

import math
from collections.abc import Callable

from luban.optim.settings import OptimSettings


def lr_at(settings: OptimSettings) -> Callable[[int], float]:
    """Return step → learning rate: a straight rise to the peak, then what the schedule's name says.

    The peak falls on the last step of the warm-up, the lowest rate on the last step of all.
    """
    peak_step = max(1, settings.warmup_steps)
    after = AFTER_PEAK[settings.schedule]

    def at(step: int) -> float:
        if settings.schedule == "one_cycle":
            return settings.lr * _one_cycle(step, settings)
        return settings.lr * (step / peak_step if step <= peak_step else after(step, settings))

    return at


def _fall(share_done: float, lowest: float) -> float:
    return lowest + (1 - lowest) * (1 + math.cos(math.pi * share_done)) / 2


def _done(step: int, settings: OptimSettings) -> float:
    peak_step = max(1, settings.warmup_steps)
    return (step - peak_step) / max(1, settings.steps - peak_step)


def _cosine(step: int, settings: OptimSettings) -> float:
    return _fall(_done(step, settings), settings.min_lr_share)


def _linear(step: int, settings: OptimSettings) -> float:
    return 1 - (1 - settings.min_lr_share) * _done(step, settings)


def _constant(step: int, settings: OptimSettings) -> float:
    return 1.0


def _wsd(step: int, settings: OptimSettings) -> float:
    """Stay at the peak, then fall in a straight line. Source: arXiv:2404.06395, section 4."""
    n_after = settings.steps - max(1, settings.warmup_steps)
    n_falling = min(round(settings.decline_share * settings.steps), n_after)
    done = (step - (settings.steps - n_falling)) / max(1, n_falling)
    return 1 - (1 - settings.min_lr_share) * max(0.0, done)


def _inverse_sqrt(step: int, settings: OptimSettings) -> float:
    """Fall with the root of the step. Source: arXiv:1706.03762, section 5.3."""
    return math.sqrt(max(1, settings.warmup_steps) / step)


def _one_cycle(step: int, settings: OptimSettings) -> float:
    """Rise by half a cosine from 1/25 of the peak, and fall by another. Source: arXiv:1708.07120."""
    peak_step = max(1, settings.warmup_steps)
    if step < peak_step:
        return _fall(1 - (step - 1) / (peak_step - 1), 1 / 25)
    return _cosine(step, settings)


AFTER_PEAK: dict[str, Callable[[int, OptimSettings], float]] = {
    "cosine": _cosine,
    "linear": _linear,
    "constant": _constant,
    "plateau": _constant,
    "wsd": _wsd,
    "inverse_sqrt": _inverse_sqrt,
    "one_cycle": _one_cycle,
}
"""Schedule → share of the peak after it. A plateau is lowered by the run, which knows the scores."""
