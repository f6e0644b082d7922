"""What training an advised model costs: parameters, bytes, seconds; rules of thumb, like the estimates."""

from __future__ import annotations

from dataclasses import dataclass

from luban.models.families import FAMILIES
from luban.plan.estimate import (
    BYTES_PER_TOKEN,
    MATMUL_SHARE,
    OVERHEAD_SECONDS,
    SECONDS_PER_MEGABYTE,
    USUAL_EPOCHS,
    USUAL_VOCABULARY,
    matrix_entries,
)
from luban.plan.facts import Facts
from luban.plan.rules import TOKENS_PER_PARAMETER, USEFUL_PASSES, Outcome

BYTES_PER_PARAMETER = 16
"""A float32 weight, its gradient, and AdamW's two moments; arXiv:1910.02054, section 3.1."""
BYTES_BESIDE = 800_000_000
"""Python, torch, and the activations of a small batch."""
LEAST_STEPS = {"from scratch": 200, "fine-tune": 60, "bag of words": 0, "use as it is": 0}
"""Fewer teach a classifier little; what `luban train` takes from few rows."""
TOKENS_PER_STEP = {"classify": 2048, "pretrain": 16 * 256, "chat": 2048}
"""Of the stages' defaults."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What an outcome takes: in full, and at the least."""

    parameters: int
    seconds: float
    least_seconds: float
    seconds_per_step: float
    steps: int
    """Steps of the full training; 0: not counted in steps."""

    @property
    def memory(self) -> int:
        """Bytes that training holds."""
        return BYTES_BESIDE + BYTES_PER_PARAMETER * self.parameters

    def steps_within(self, seconds: float) -> int:
        """Return how many steps such a time allows, no more than the full training has."""
        if not self.steps or self.seconds <= seconds:
            return self.steps
        overhead = self.seconds - self.steps * self.seconds_per_step
        return max(1, int((seconds - overhead) / self.seconds_per_step))


def cost_of(outcome: Outcome, facts: Facts) -> Cost:
    """Return what training the outcome costs; nothing where there is no stage for it."""
    if outcome.trains == "bag":
        megabytes = facts.rows * facts.mean_tokens * BYTES_PER_TOKEN / 1e6
        seconds = OVERHEAD_SECONDS["bag"] + SECONDS_PER_MEGABYTE["bag"] * megabytes
        return Cost(0, seconds, 0.0, 0.0, 0)
    parameters, entries = _size(outcome)
    if outcome.trains not in TOKENS_PER_STEP:
        return Cost(parameters, 0.0, 0.0, 0.0, 0)
    per_step = TOKENS_PER_STEP[outcome.trains]
    step_seconds = 6 * entries * per_step / (facts.rate * MATMUL_SHARE)
    overhead = OVERHEAD_SECONDS[outcome.trains]
    full, least = _steps(outcome, facts, parameters, per_step)
    return Cost(
        parameters, overhead + full * step_seconds, overhead + least * step_seconds, step_seconds, full
    )


def _steps(outcome: Outcome, facts: Facts, parameters: int, per_step: int) -> tuple[int, int]:
    """Steps of the full training, and the fewest that make sense.

    More data never make these more, so that time never argues for a smaller model because there are more.
    """
    least = LEAST_STEPS[outcome.method]
    if outcome.trains == "classify":
        return max(least, round(USUAL_EPOCHS * facts.rows * facts.mean_tokens / per_step)), least
    readable = USEFUL_PASSES * facts.tokens
    if outcome.method == "fine-tune":
        return max(least, facts.tokens // per_step), least
    full = max(least, min(TOKENS_PER_PARAMETER * parameters, readable) // per_step)
    return full, full


def _size(outcome: Outcome) -> tuple[int, float]:
    """All parameters, and the matrix entries that a token passes."""
    writes = outcome.objective in ("next_token", "seq2seq")
    if outcome.start and not outcome.start.size:
        return outcome.start.parameters, float(outcome.start.parameters)
    config = FAMILIES[outcome.family].config(
        outcome.size, vocab_size=USUAL_VOCABULARY, **dict(outcome.changes)
    )
    entries = matrix_entries(config, writes=writes)
    if outcome.start:
        return outcome.start.parameters, entries
    own = matrix_entries(config, writes=False)
    return round(own + config.vocab_size * config.dim), entries
