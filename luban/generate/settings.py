"""Settings of sampling."""

from __future__ import annotations

import math
from dataclasses import dataclass

from luban.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class SamplingSettings:
    """How the next token is chosen, and when to stop."""

    max_new_tokens: int = 128
    """Stop after so many tokens."""
    temperature: float = 1.0
    """Scores are divided by it: below 1 bolder, above 1 more random; 0 always takes the likeliest token."""
    top_k: int = 0
    """Choose among the k likeliest tokens only; 0: among all."""
    top_p: float = 1.0
    """Choose among the fewest tokens that hold this share of the probability."""
    min_p: float = 0.0
    """Leave out tokens less likely than this share of the likeliest."""
    repetition_penalty: float = 1.0
    """Positive scores of tokens in the prompt or the text are divided by it, negative ones multiplied."""
    frequency_penalty: float = 0.0
    """The score of a token falls by it each time the token was written."""
    presence_penalty: float = 0.0
    """The score of a token falls by it once the token was written."""
    no_repeat_ngram: int = 0
    """No run of so many tokens is written a second time, the prompt's included; 0: off."""
    seed: int = 1
    """Decides the draws; the same text follows alone or in a batch."""
    stop: tuple[str, ...] = ()
    """Texts that end the writing; they are not part of it."""

    def __post_init__(self) -> None:
        self._check("max_new_tokens", self.max_new_tokens >= 1, "1 or more")
        self._check("temperature", self.temperature >= 0 and math.isfinite(self.temperature), "0 or more")
        self._check("top_k", self.top_k >= 0, "0 (off) or more")
        self._check("top_p", 0 < self.top_p <= 1, "above 0, at most 1 (off)")
        self._check("min_p", 0 <= self.min_p < 1, "from 0 (off) to below 1")
        penalty = self.repetition_penalty
        self._check("repetition_penalty", 0 < penalty < math.inf, "above 0, such as 1.2; 1 is off")
        self._check("frequency_penalty", math.isfinite(self.frequency_penalty), "a number; 0 is off")
        self._check("presence_penalty", math.isfinite(self.presence_penalty), "a number; 0 is off")
        self._check("no_repeat_ngram", self.no_repeat_ngram >= 0, "0 (off) or more")
        self._check("seed", self.seed >= 0, "0 or more")
        self._check("stop", all(self.stop), "texts that are not empty")

    def _check(self, name: str, is_good: bool, good: str) -> None:
        if not is_good:
            raise ConfigError(f"{name} = {getattr(self, name)!r} cannot be", fix=f"set {name} to {good}")
