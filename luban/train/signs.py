"""Signs of a run in trouble, in words: what is seen, and what usually helps."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median, pstdev

from luban.records import Step
from luban.train.settings import TrainSettings

WINDOW = 100
"""Recent steps that are looked at."""
RECENT = 25
SPIKE_DEVIATIONS = 6.0
"""Robust deviations above the median that make a loss a spike: 4 come by chance in every long run."""
MAD_TO_DEVIATION = 1.4826
"""Of a normal distribution: its deviation over its median absolute deviation."""
SPIKE_SHARE, RISE_SHARE, FALL_SHARE = 0.1, 0.1, 0.01
SURE = 4.0
"""Standard errors beyond which a difference of means is no chance."""
NO_GRADIENT, NO_LOSS = 1e-7, 1e-4
CLIPPED_TIMES = 2.0
WAIT_SHARE, PADDING_SHARE = 0.15, 0.3
QUIET_STEPS = 500
"""Steps for which a sign is not said again."""


@dataclass(frozen=True, slots=True)
class Sign:
    """One thing that looks wrong."""

    kind: str
    text: str
    fix: str

    def __str__(self) -> str:
        return f"{self.text}; {self.fix}"


@dataclass(frozen=True, slots=True)
class History:
    """The last steps of a run, oldest first, and the mean loss of its first ones."""

    steps: Sequence[Step]
    first_loss: float
    settings: TrainSettings

    @property
    def losses(self) -> list[float]:
        """Loss of each step."""
        return [s.loss for s in self.steps]

    @property
    def is_warm(self) -> bool:
        """Whether a full window lies behind the warm-up."""
        return len(self.steps) == WINDOW and self.steps[0].number > self.settings.warmup_steps


def loss_spike(history: History) -> Sign | None:
    """Say so if the newest loss stands far above the ones before it."""
    newest = history.steps[-1].loss
    if len(history.steps) <= RECENT or newest <= history.steps[-2].loss:
        return None
    before = history.losses[-2 * RECENT - 1 : -1]
    middle = median(before)
    deviation = MAD_TO_DEVIATION * median(abs(x - middle) for x in before)
    if newest <= middle + max(SPIKE_DEVIATIONS * deviation, SPIKE_SHARE * abs(middle)):
        return None
    return Sign(
        "spike",
        f"the loss jumped to {newest:.3f}, where the last {len(before)} steps had {middle:.3f} "
        f"± {deviation:.3f}",
        "if it does not come back within some steps, lower lr or max_grad_norm; "
        "`luban inspect batch` shows the rows",
    )


def rising_loss(history: History) -> Sign | None:
    """Say so if the loss of a full window has gone up behind the warm-up: the learning rate is too high."""
    if not history.is_warm:
        return None
    half = WINDOW // 2
    earlier, later = history.losses[:half], history.losses[half:]
    rise = fmean(later) - fmean(earlier)
    if rise <= max(SURE * _error(earlier, later), RISE_SHARE * abs(fmean(earlier))):
        return None
    return Sign(
        "rising",
        f"the loss is rising: {fmean(earlier):.3f} on average {WINDOW} to {half} steps ago, "
        f"{fmean(later):.3f} since",
        f"lr {history.steps[-1].lr:.1e} looks too high: try a third of it, or more warmup_share",
    )


def dead_run(history: History) -> Sign | None:
    """Say so if the loss has not fallen since the start, though the learning rate is not tiny."""
    if not history.is_warm or history.steps[-1].lr < 0.05 * history.settings.lr:
        return None
    now = fmean(history.losses)
    fall = history.first_loss - now
    if now < NO_LOSS or fall > max(FALL_SHARE * history.first_loss, 2 * _error(history.losses)):
        return None
    guess = f", like a blind guess among {math.exp(now):,.0f}" if 2 <= math.exp(now) < 1e7 else ""
    return Sign(
        "dead",
        f"nothing is learnt: the loss was {history.first_loss:.3f} at the start and is {now:.3f} over the "
        f"last {WINDOW} steps{guess}",
        "raise lr (`luban train --find-lr` finds one), and look whether targets fit texts with "
        "`luban inspect batch`",
    )


def no_gradient(history: History) -> Sign | None:
    """Say so if gradients have all but vanished."""
    steps = history.steps[-RECENT:]
    largest = max(s.grad_norm for s in steps)
    if len(steps) < RECENT or largest > NO_GRADIENT:
        return None
    if fmean(s.loss for s in steps) < NO_LOSS:
        text, fix = "the loss is 0: nothing is left to learn", "stop here, or give harder rows"
    else:
        text = f"no gradient longer than {largest:.0e} in {RECENT} steps: nothing reaches the weights"
        fix = "look at what is frozen, and at the logits: they may be saturated"
    return Sign("no gradient", text, fix)


def always_clipped(history: History) -> Sign | None:
    """Say so if every gradient is much longer than it may be."""
    limit = history.settings.max_grad_norm
    if not history.is_warm or any(s.grad_norm <= limit for s in history.steps):
        return None
    usual = median(s.grad_norm for s in history.steps)
    if usual < CLIPPED_TIMES * limit:
        return None
    return Sign(
        "clipped",
        f"every one of the last {WINDOW} gradients was cut to max_grad_norm {limit:g} (median {usual:.3g})",
        f"set max_grad_norm to about {usual:.1g}, or lower lr if the loss is restless",
    )


def waits_for_data(history: History) -> Sign | None:
    """Say so if the processor waits for data."""
    if len(history.steps) < 2 * RECENT:
        return None
    share = sum(s.wait_seconds for s in history.steps) / sum(s.seconds for s in history.steps)
    if share < WAIT_SHARE:
        return None
    return Sign(
        "waiting",
        f"the processor waits for data {share:.0%} of the time",
        "leave a core to the data (threads one lower), or put the data on a faster disk",
    )


def much_padding(history: History) -> Sign | None:
    """Say so if much of what is computed carries no token."""
    if len(history.steps) < 2 * RECENT:
        return None
    n_positions = sum(s.n_positions for s in history.steps)
    share = 1 - sum(s.n_tokens for s in history.steps) / n_positions
    if share < PADDING_SHARE:
        return None
    return Sign(
        "padding",
        f"{share:.0%} of what is computed is padding",
        "more tokens in a micro-batch, or a shorter max_len, leave less",
    )


SIGNS: tuple[Callable[[History], Sign | None], ...] = (
    loss_spike, rising_loss, dead_run, no_gradient, always_clipped, waits_for_data, much_padding
)  # fmt: skip


@dataclass(slots=True)
class Watch:
    """Remembers the last steps and says each sign once in a while; it changes nothing in the run."""

    settings: TrainSettings
    _steps: deque[Step] = field(default_factory=lambda: deque(maxlen=WINDOW))
    _first: list[float] = field(default_factory=list)
    _said: dict[str, int] = field(default_factory=dict)

    def step(self, step: Step) -> list[Sign]:
        """Take note of a step, and return the signs that are new."""
        if step.bad:
            return []  # counted and said elsewhere
        self._steps.append(step)
        if len(self._first) < RECENT:
            self._first.append(step.loss)
        history = History(list(self._steps), fmean(self._first), self.settings)
        looked = SIGNS if step.number % 10 == 0 else (loss_spike,)
        found = [sign for look in looked if (sign := look(history)) and self._is_new(sign, step.number)]
        for sign in found:
            self._said[sign.kind] = step.number
        return found

    def _is_new(self, sign: Sign, number: int) -> bool:
        return number - self._said.get(sign.kind, -QUIET_STEPS) >= QUIET_STEPS


def _error(*parts: Sequence[float]) -> float:
    """Return the standard error of the difference (or of the one) of means."""
    return math.sqrt(sum(pstdev(x) ** 2 / len(x) for x in parts))
