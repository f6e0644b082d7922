"""Scores of texts that may have several labels, or none.

Labels and predictions are tables of 0 and 1, (n, K). A ratio whose denominator is zero counts as 0, as
in scikit-learn; the macro average goes over all labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luban.evaluate.intervals import ratio

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
_CELLS = 4_000_000


def many_labels(labels: Ints, predicted: Ints) -> Callable[[Ints], dict[str, Floats]]:
    """Return the function that intervals resample: row numbers (R, n) -> every score (R,)."""
    right = labels * predicted
    exact = (labels == predicted).all(-1).astype(np.float64)
    wrong = (labels != predicted).mean(-1)
    at_once = max(1, _CELLS // max(1, labels.size))

    def part(rows: Ints) -> dict[str, Floats]:
        hits, truth, guesses = (table[rows].sum(1) for table in (right, labels, predicted))  # (R, K)
        per_label = ratio(2 * hits, truth + guesses)
        return {
            "micro_f1": ratio(2 * hits.sum(-1), (truth + guesses).sum(-1)),
            "macro_f1": per_label.mean(-1),
            "micro_precision": ratio(hits.sum(-1), guesses.sum(-1)),
            "micro_recall": ratio(hits.sum(-1), truth.sum(-1)),
            "exact_match": exact[rows].mean(-1),
            "hamming_loss": wrong[rows].mean(-1),
        }

    def statistic(rows: Ints) -> dict[str, Floats]:
        parts = [part(some) for some in np.split(rows, range(at_once, len(rows), at_once))]
        return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}

    return statistic


def per_label_table(labels: Ints, predicted: Ints, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return each label's precision, recall, f1 and support by name."""
    hits, truth, guesses = ((labels * predicted).sum(0), labels.sum(0), predicted.sum(0))
    precision, recall, f1 = ratio(hits, guesses), ratio(hits, truth), ratio(2 * hits, truth + guesses)
    return {
        name: {
            "precision": float(precision[k]),
            "recall": float(recall[k]),
            "f1": float(f1[k]),
            "support": int(truth[k]),
        }
        for k, name in enumerate(names)
    }
