"""Scores of several labels a text are scikit-learn's."""

import numpy as np
import pytest

from luban.evaluate.many_labels import many_labels, per_label_table


def test_every_score_is_scikit_learns_on_any_rows():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    truth, guess = (rng.integers(0, 2, size=(40, 4)) for _ in range(2))
    truth[:, 3] = guess[:, 3] = 0
    rows = np.stack([np.arange(40), rng.integers(0, 40, 40)])
    ours = many_labels(truth, guess)(rows)
    for i, some in enumerate(rows):
        y, p = truth[some], guess[some]
        want = {
            "micro_f1": metrics.f1_score(y, p, average="micro", zero_division=0),
            "macro_f1": metrics.f1_score(y, p, average="macro", zero_division=0),
            "micro_precision": metrics.precision_score(y, p, average="micro", zero_division=0),
            "micro_recall": metrics.recall_score(y, p, average="micro", zero_division=0),
            "exact_match": metrics.accuracy_score(y, p),
            "hamming_loss": metrics.hamming_loss(y, p),
        }
        assert {name: v[i] for name, v in ours.items()} == pytest.approx(want)


def test_labels_are_told_apart():
    table = per_label_table(np.array([[1, 0], [1, 1]]), np.array([[1, 1], [0, 1]]), ["新闻", "sport"])
    assert table["新闻"] == {"precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3), "support": 2}
    assert table["sport"]["precision"] == 0.5
