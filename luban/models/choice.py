"""Which classifier to build from scratch for so many labelled rows, when nobody names one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Choice:
    """A family's size with changes to it, for fewer than `below` rows."""

    below: float
    family: Literal["recurrent", "bert"]
    size: str
    changes: Mapping[str, Any]
    what: str


CLASSIFIERS = (
    Choice(20_000, "recurrent", "tiny", {"dim": 128, "dropout": 0.4}, "a small LSTM"),
    Choice(
        math.inf, "bert", "tiny", {"dim": 128, "n_layers": 1, "dropout": 0.2}, "a small Transformer encoder"
    ),
)
"""From the fewest rows to the most. Up to 8,000 rows the Transformer was never clearly ahead, and none
of them ahead of a bag of words: experiments/LOG.md, 2026-11-24, and the scores in README.md."""


def choose_classifier(n_rows: int) -> Choice:
    """Return the first choice that so many rows are few enough for."""
    return next(choice for choice in CLASSIFIERS if n_rows < choice.below)
