"""From a classifier's scores to what it says: a part of its folder, in a key that others ignore."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from luban.config import Tree, fill
from luban.errors import CheckpointError, ConfigError
from luban.files import read_json, write_json

CONFIG, KEY = "config.json", "decision"
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Decision:
    """How scores are read. As it stands, nothing is done to them."""

    temperature: float = 1.0
    """Scores are divided by it (arXiv:1706.04599)."""
    thresholds: tuple[float, ...] = ()
    """Several labels: the probability from which on each is said. Two classes: that of the second."""
    unknown_below: float = 0.0
    """No label is said where the likeliest has a smaller probability."""
    window: int = 0
    """Texts of more tokens are read in windows of so many; 0: they are cut."""
    stride: int = 0
    """Tokens from the start of one window to the start of the next."""
    window_pool: Literal["mean", "max"] = "mean"
    """How the scores of windows become a text's."""

    def probabilities(self, logits: Floats) -> Floats:
        """Return what a softmax makes of scores (n, K)."""
        scaled = logits / self.temperature
        exponents = np.exp(scaled - scaled.max(-1, keepdims=True))
        return np.asarray(exponents / exponents.sum(-1, keepdims=True))

    def likelihoods(self, logits: Floats) -> Floats:
        """Return the probability of every label on its own: (n, K)."""
        return np.asarray(1 / (1 + np.exp(-np.clip(logits / self.temperature, -500, 500))))

    def choice(self, probabilities: Floats) -> int | None:
        """Return the number of the label that is said of one text, (K,) -> class; None: none is."""
        best = int(probabilities.argmax())
        if self.thresholds and len(probabilities) == 2:
            best = int(probabilities[1] >= self.thresholds[0])
        return None if probabilities[best] < self.unknown_below else best

    def choices(self, likelihoods: Floats) -> NDArray[np.int64]:
        """Return which labels are said of texts: (n, K) of 0 and 1."""
        return (likelihoods >= np.array(self.thresholds or 0.5)).astype(np.int64)


def read_decision(folder: Path) -> Decision:
    """Return what a model folder says of it; a folder of others says nothing."""
    found = read_json(folder / CONFIG).get(KEY)
    if found is None:
        return Decision()
    try:
        read: Decision = fill(Decision, Tree(dict(found)))
    except (ConfigError, ValueError, TypeError, AttributeError) as e:
        raise CheckpointError(
            f"{folder / CONFIG}: {KEY!r} cannot be read: {getattr(e, 'problem', e)}",
            fix="take the key out, or train again",
        ) from None
    if not read.temperature > 0 or not np.isfinite(read.temperature):
        raise CheckpointError(
            f"{folder / CONFIG}: {KEY}.temperature = {read.temperature} is none", fix="make it 1"
        )
    return read


def write_decision(decision: Decision, folder: Path) -> None:
    """Add the decision to a model folder that has been written."""
    path = folder / CONFIG
    write_json(path, {**read_json(path), KEY: asdict(decision)})
