"""A search for the learning rate: one short descent whose rate grows until the loss explodes.

Source: arXiv:1506.01186 section 3.3, the rate growing by a factor a step instead of a sum, so that
every power of ten gets as many steps.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

from luban.device import choose_device, use_threads
from luban.errors import ConfigError
from luban.log import Log
from luban.optim.build import build_optimizer
from luban.train.engine import Course, train
from luban.train.precision import choose_precision
from luban.train.run import Run
from luban.train.settings import TrainSettings

LOWEST, HIGHEST = 1e-6, 9.0
MOST_STEPS, LEAST_STEPS = 100, 30
WINDOW = 1 / 20
"""Share of the steps over which the loss is smoothed, to both sides of each."""
TRAILING = 0.7
EXPLODED, GAINED = 1.5, 0.1
"""The loss has exploded when its trailing mean is so many times its lowest, and a share of the first more."""
BELOW_LOWEST, BELOW_EDGE = 3.0, 10.0
"""The rate suggested is at least so many times below that of the lowest loss, and that of the first rise."""
CLEAR = 3.0
"""A fall or a rise is clear if it is so many times the losses' own scatter."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RangeTest:
    """The rates that were tried, the losses there (nats per target), and what follows from them."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    """The losses, each the mean of those around it."""
    steepest: float
    """The rate at which the smoothed loss falls fastest."""
    lowest: float
    """The rate at which the smoothed loss is lowest."""
    edge: float
    """The rate at which the smoothed loss begins to rise above its first value; else the last rate."""
    exploded: float | None
    """The rate at which the test was given up; None: it reached the highest."""
    falls: bool
    """Whether the loss falls clearly; if so few steps teach nothing, only the edge is known."""
    suggestion: float
    """The least of: the rate of steepest descent, if the loss falls clearly; a third of the rate of the
    lowest loss, likewise; a tenth of the edge."""


def find_lr(run: Run, log: Log) -> RangeTest:
    """Train a copy of the run's model at rates from very low to very high; the run stays as it is."""
    settings = _settings(run.settings)
    use_threads(settings.threads)
    device = choose_device(settings.device)
    model = copy.deepcopy(run.model).to(device)
    rates = rates_to_try(settings.steps)
    course = Course(
        model=model,
        batches=run.batches,
        objective=run.objective,
        optimizer=build_optimizer(model, settings, run.lr_scale),
        lr_at=lambda step: rates[step - 1],
        settings=settings,
        precision=choose_precision(settings.precision, device),
    )
    log.say(f"{settings.steps} steps at learning rates from {rates[0]:.0e} to {rates[-1]:.0e}")
    losses: list[float] = []
    exploded: float | None = None
    steps = train(course)
    for step in steps:
        if step.bad or has_exploded([*losses, step.loss]):
            exploded = step.lr
            break
        losses.append(step.loss)
    steps.close()
    return read_off(rates[: len(losses)], losses, exploded)


def rates_to_try(n: int) -> list[float]:
    """Return n rates from LOWEST to HIGHEST, each the same multiple of the one before."""
    return [LOWEST * (HIGHEST / LOWEST) ** (i / (n - 1)) for i in range(n)]


def has_exploded(losses: Sequence[float]) -> bool:
    """Whether the trailing mean of the losses has left its lowest value far behind."""
    mean, weight, lowest = 0.0, 0.0, math.inf
    for loss in losses:
        mean, weight = TRAILING * mean + (1 - TRAILING) * loss, TRAILING * weight + 1 - TRAILING
        lowest = min(lowest, mean / weight)
    return not mean / weight <= EXPLODED * lowest + GAINED * losses[0]


def read_off(rates: Sequence[float], losses: Sequence[float], exploded: float | None) -> RangeTest:
    """Smooth the losses and read off where they fall fastest and where they are lowest."""
    if len(losses) < LEAST_STEPS // 2:
        at = f" at lr = {exploded:.0e}" if exploded else ""
        raise ConfigError(
            f"the loss explodes within {len(losses) + 1} steps{at}, so no learning rate can be read off",
            fix="inspect the data and the model: luban inspect batch, luban certify",
        )
    smoothed = _smoothed(losses, max(1, round(len(rates) * WINDOW)))
    lowest = min(range(len(smoothed)), key=smoothed.__getitem__)
    slopes = [
        smoothed[min(i + 1, len(smoothed) - 1)] - smoothed[max(i - 1, 0)]  # over equal steps of log(lr)
        for i in range(max(1, lowest))
    ]
    steepest = min(range(len(slopes)), key=slopes.__getitem__)
    scatter = _scatter(losses, smoothed)
    falls = smoothed[0] - smoothed[lowest] > CLEAR * scatter
    above = [i for i, v in enumerate(smoothed) if v > smoothed[0] + CLEAR * scatter]
    edge = exploded or rates[-1] if not above else rates[above[0]]
    likely = [rates[steepest], rates[lowest] / BELOW_LOWEST] if falls else []
    return RangeTest(
        rates=tuple(rates),
        losses=tuple(losses),
        smoothed=tuple(smoothed),
        steepest=rates[steepest],
        lowest=rates[lowest],
        edge=edge,
        exploded=exploded,
        falls=falls,
        suggestion=_rounded(min([edge / BELOW_EDGE, *likely])),
    )


def _settings(settings: TrainSettings) -> TrainSettings:
    """Keep all that decides how a step is taken; a short run gets a short test."""
    steps = max(LEAST_STEPS, min(MOST_STEPS, settings.steps))
    return dataclasses.replace(settings, steps=steps)


def _smoothed(values: Sequence[float], reach: int) -> list[float]:
    """Return means over `reach` values to both sides, nearer ones counting more."""
    found = []
    for i in range(len(values)):
        near = range(max(0, i - reach), min(len(values), i + reach + 1))
        weights = [1 + reach - abs(i - j) for j in near]
        found.append(sum(w * values[j] for w, j in zip(weights, near, strict=True)) / sum(weights))
    return found


def _scatter(losses: Sequence[float], smoothed: Sequence[float]) -> float:
    """Return the standard deviation of the losses about their smoothed values in the quiet first half."""
    gaps = [a - b for a, b in zip(losses, smoothed, strict=True)][: len(losses) // 2]
    return math.sqrt(sum(g * g for g in gaps) / len(gaps))


def _rounded(rate: float) -> float:
    """Return a rate with one digit that counts, two below 2: 0.00312 -> 0.003, 0.00146 -> 0.0015."""
    power = 10.0 ** math.floor(math.log10(rate))
    digits = rate / power
    return float(f"{(round(digits * 2) / 2 if digits < 2 else round(digits)) * power:.2g}")
