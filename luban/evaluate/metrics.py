"""Classification metrics in numpy, vectorised over resamples; and error rates of texts by edit distance.

Labels and predictions are class numbers. Everything but calibration is a function of the confusion
matrix, so a thousand resamples are one array (R, K, K) and one pass over it. A ratio whose denominator
is zero counts as 0, and macro averages go over the classes that occur among labels or predictions:
both as in scikit-learn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from luban.errors import DataError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
N_BINS = 15
_CELLS = 4_000_000
"""Cells of confusion matrices held at once, so that many classes do not fill the memory."""


def confusion(labels: Ints, predicted: Ints, n_classes: int) -> Ints:
    """Count rows by (label, predicted): (n,) or (R, n) -> (K, K) or (R, K, K)."""
    codes = labels * n_classes + predicted
    rows = codes.reshape(-1, codes.shape[-1])
    offsets = np.arange(len(rows))[:, None] * n_classes**2
    counts = np.bincount((rows + offsets).ravel(), minlength=len(rows) * n_classes**2)
    return counts.reshape(*codes.shape[:-1], n_classes, n_classes).astype(np.int64)


def class_scores(counts: Ints) -> dict[str, Floats]:
    """Return precision, recall, f1 and support of every class: (..., K, K) -> (..., K) each."""
    right = np.diagonal(counts, axis1=-2, axis2=-1)
    support, guesses = counts.sum(-1), counts.sum(-2)
    return {
        "precision": _ratio(right, guesses),
        "recall": _ratio(right, support),
        "f1": _ratio(2 * right, support + guesses),
        "support": support.astype(np.float64),
    }


def summary_scores(counts: Ints) -> dict[str, Floats]:
    """Return accuracy and the macro and micro averages: (..., K, K) -> (...) each.

    One label and one guess a row make micro precision, recall and F1 all equal to accuracy.
    """
    per_class = class_scores(counts)
    occurs = (counts.sum(-1) + counts.sum(-2)) > 0
    accuracy = _ratio(np.diagonal(counts, axis1=-2, axis2=-1).sum(-1), counts.sum((-2, -1)))
    scores = {"accuracy": accuracy}
    for name in ("precision", "recall", "f1"):
        scores[f"macro_{name}"] = _ratio((per_class[name] * occurs).sum(-1), occurs.sum(-1))
    return scores | {f"micro_{name}": accuracy for name in ("precision", "recall", "f1")}


def calibration_error(confidence: Floats, correct: Ints, n_bins: int = N_BINS) -> Floats:
    """Return the expected calibration error: (n,) or (R, n) -> () or (R,).

    Rows fall into bins of equal width by the probability of the predicted class; the error is the
    mean gap between a bin's accuracy and its mean probability, weighted by its rows.
    Source: arXiv:1706.04599 equations 2 to 5.
    """
    n, confidences, hits = _bins(confidence, correct, n_bins)
    return np.abs(hits - confidences).sum(-1) / n.sum(-1)


def calibration_table(confidence: Floats, correct: Ints, n_bins: int = N_BINS) -> list[dict[str, Any]]:
    """Return the bins that hold rows: their bounds, mean confidence, accuracy and size."""
    n, confidences, hits = _bins(confidence, correct, n_bins)
    return [
        {
            "low": round(i / n_bins, 4),
            "high": round((i + 1) / n_bins, 4),
            "confidence": float(confidences[i] / n[i]),
            "accuracy": float(hits[i] / n[i]),
            "n": int(n[i]),
        }
        for i in np.flatnonzero(n)
    ]


def classification(
    labels: Ints, predicted: Ints, n_classes: int, confidence: Floats | None = None
) -> Callable[[Ints], dict[str, Floats]]:
    """Return the function that intervals resample: row numbers (R, n) -> every score (R,)."""

    at_once = max(1, _CELLS // n_classes**2)

    def statistic(rows: Ints) -> dict[str, Floats]:
        parts = [
            summary_scores(confusion(labels[part], predicted[part], n_classes))
            for part in np.split(rows, range(at_once, len(rows), at_once))
        ]
        scores = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        if confidence is not None:
            correct = (labels == predicted).astype(np.int64)
            scores["calibration_error"] = calibration_error(confidence[rows], correct[rows])
        return scores

    return statistic


def per_class_table(counts: Ints, names: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return each class's precision, recall, f1 and support by name."""
    scores = class_scores(counts)
    return {name: {k: float(v[i]) for k, v in scores.items()} for i, name in enumerate(names)}


def error_rate(
    references: Sequence[str], hypotheses: Sequence[str], unit: Literal["word", "character"] = "word"
) -> float:
    """Return the edits that turn hypotheses into references, per word or character of the references.

    Words are what white space divides, characters all that is no white space. Case and punctuation
    count: take them out of both first if they should not.
    """
    cut = str.split if unit == "word" else (lambda text: [c for c in text if not c.isspace()])
    pairs = [(cut(r), cut(h)) for r, h in zip(references, hypotheses, strict=True)]
    n_units = sum(len(reference) for reference, _ in pairs)
    if not n_units:
        raise DataError(
            f"the references hold no {unit} to be wrong about", fix="leave out rows without a reference"
        )
    return sum(edit_distance(*pair) for pair in pairs) / n_units


def edit_distance(one: Sequence[Any], other: Sequence[Any]) -> int:
    """Return the fewest insertions, deletions and replacements between two sequences.

    Source: Wagner and Fischer 1974, "The String-to-String Correction Problem".
    """
    above = list(range(len(other) + 1))
    for i, item in enumerate(one, start=1):
        row = [i]
        for j, against in enumerate(other):
            row.append(min(row[j] + 1, above[j + 1] + 1, above[j] + (item != against)))
        above = row
    return above[-1]


def _ratio(above: NDArray[Any], below: NDArray[Any]) -> Floats:
    return np.divide(above, below, out=np.zeros(np.shape(above), np.float64), where=below != 0)


def _bins(confidence: Floats, correct: Ints, n_bins: int) -> tuple[Floats, Floats, Floats]:
    """Return rows, summed confidence and summed hits per bin: (..., n) -> (..., n_bins) each."""
    flat = confidence.reshape(-1, confidence.shape[-1])
    # Bins are open below and closed above, as in the paper, so that a certainty of 1 is in the last.
    bins = np.clip(np.ceil(flat * n_bins).astype(np.int64) - 1, 0, n_bins - 1)
    codes = (bins + np.arange(len(flat))[:, None] * n_bins).ravel()
    size = len(flat) * n_bins
    shape = (*confidence.shape[:-1], n_bins)
    n = np.bincount(codes, minlength=size).astype(np.float64).reshape(shape)
    confidences = np.bincount(codes, flat.ravel(), size).reshape(shape)
    hits = np.bincount(codes, correct.astype(np.float64).ravel(), size).reshape(shape)
    return n, confidences, hits
