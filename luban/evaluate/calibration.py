"""From scores to decisions: a temperature, thresholds, and when to say that one does not know.

All are fitted on validation rows, and none changes which class is the likeliest.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
TEMPERATURES = (0.05, 20.0)
"""The search goes no further: rows that are all right, or all wrong, would want 0 or infinity."""
_ROUNDS = 80
_GOLDEN = (5**0.5 - 1) / 2


def fit_temperature(logits: Floats, labels: Ints) -> float:
    """Return T for which softmax(logits / T) gives the labels the largest likelihood. (n, K), (n,) -> T.

    Source: arXiv:1706.04599, section 4.2. The loss has one minimum in 1 / T.
    """
    rows = np.arange(len(labels))

    def loss(scale: float) -> float:
        scaled = logits * scale
        highest = scaled.max(-1, keepdims=True)
        total = np.log(np.exp(scaled - highest).sum(-1)) + highest[:, 0]
        return float((total - scaled[rows, labels]).mean())

    return _lowest(loss)


def fit_sigmoid_temperature(logits: Floats, labels: Ints) -> float:
    """Return T for which sigmoid(logits / T) gives yes and no the largest likelihood. (n, K) both -> T."""
    sign = np.where(labels == 1, -1.0, 1.0)
    return _lowest(lambda scale: float(np.logaddexp(0, sign * logits * scale).mean()))


def best_threshold(scores: Floats, is_positive: NDArray[np.bool_]) -> float:
    """Return the threshold t for which `score >= t` has the best F1; 0.5 where nothing is positive.

    It lies half-way between two scores; of equally good ones it is the one nearest to 0.5.
    """
    n_positive = int(is_positive.sum())
    if not n_positive:
        return 0.5
    order = np.argsort(-scores, kind="stable")
    ordered, hits = scores[order], np.cumsum(is_positive[order])
    f1 = 2 * hits / (np.arange(1, len(scores) + 1) + n_positive)
    below = np.append(ordered[1:], 0.0)
    is_edge = ordered > below  # rows of one score stand on one side
    f1[~is_edge] = -1
    between = (ordered + below) / 2
    best = np.flatnonzero(f1 >= f1.max() - 1e-12)
    return float(between[best[np.abs(between[best] - 0.5).argmin()]])


def precision_threshold(confidence: Floats, correct: NDArray[np.bool_], wanted: float) -> float | None:
    """Return the lowest confidence from which on so large a share is right; None if there is none.

    Rows with that confidence or more are answered, the others are not.
    """
    order = np.argsort(-confidence, kind="stable")
    ordered = confidence[order]
    precision = np.cumsum(correct[order]) / np.arange(1, len(order) + 1)
    is_edge = np.append(ordered[:-1] > ordered[1:], True)
    good = np.flatnonzero(is_edge & (precision >= wanted))
    return float(ordered[good[-1]]) if len(good) else None


def _lowest(loss: Callable[[float], float]) -> float:
    """Return the temperature of the lowest loss by golden-section search over the logarithm."""
    low, high = (float(np.log(1 / t)) for t in reversed(TEMPERATURES))
    a, b = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_a, at_b = loss(np.exp(a)), loss(np.exp(b))
    for _ in range(_ROUNDS):
        if at_a <= at_b:
            high, b, at_b = b, a, at_a
            a = high - _GOLDEN * (high - low)
            at_a = loss(np.exp(a))
        else:
            low, a, at_a = a, b, at_b
            b = low + _GOLDEN * (high - low)
            at_b = loss(np.exp(b))
    return float(np.exp(-(low + high) / 2))
