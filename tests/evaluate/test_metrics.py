"""Metrics are scikit-learn's, whole or resampled."""

import random

import numpy as np
import pytest

from luban.errors import DataError
from luban.evaluate.metrics import (
    calibration_error,
    calibration_table,
    class_scores,
    classification,
    confusion,
    edit_distance,
    error_rate,
    per_class_table,
    summary_scores,
)


def random_rows(n_classes: int, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, n_classes, n)
    guesses = np.where(generator.random(n) < 0.6, labels, generator.integers(0, n_classes, n))
    return labels, guesses


@pytest.mark.parametrize(
    ("labels", "guesses", "n_classes"),
    [
        (*random_rows(2, 200, 1), 2),
        (*random_rows(7, 300, 2), 7),
        (*random_rows(5, 12, 3), 9),  # classes that nobody uses
        (np.array([0, 0, 1]), np.array([2, 2, 2]), 3),  # a class without rows, classes without guesses
    ],
)
def test_scores_are_those_of_scikit_learn(labels, guesses, n_classes):
    sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn is the reference")
    counts = confusion(labels, guesses, n_classes)
    names = list(range(n_classes))
    assert (counts == sklearn.confusion_matrix(labels, guesses, labels=names)).all()

    expected = sklearn.precision_recall_fscore_support(labels, guesses, labels=names, zero_division=0)
    for name, values in zip(("precision", "recall", "f1", "support"), expected, strict=True):
        np.testing.assert_allclose(class_scores(counts)[name], values)

    ours = summary_scores(counts)
    assert ours["accuracy"] == sklearn.accuracy_score(labels, guesses)
    for average in ("macro", "micro"):
        expected = sklearn.precision_recall_fscore_support(labels, guesses, average=average, zero_division=0)
        for name, value in zip(("precision", "recall", "f1"), expected, strict=False):
            np.testing.assert_allclose(ours[f"{average}_{name}"], value)


def test_a_resample_scores_as_its_rows_do_alone():
    labels, guesses = random_rows(4, 50, 4)
    confidence = np.random.default_rng(5).random(50)
    rows = np.random.default_rng(6).integers(0, 50, (3, 50))
    together = classification(labels, guesses, 4, confidence)(rows)
    for r in range(3):
        alone = classification(labels, guesses, 4, confidence)(rows[r : r + 1])
        for name in together:
            assert together[name][r] == alone[name][0], name


def test_many_classes_are_scored_in_parts_that_add_up(monkeypatch):
    labels, guesses = random_rows(4, 50, 4)
    rows = np.random.default_rng(6).integers(0, 50, (7, 50))
    whole = classification(labels, guesses, 4)(rows)
    monkeypatch.setattr("luban.evaluate.metrics._CELLS", 40)
    for name, values in classification(labels, guesses, 4)(rows).items():
        assert (values == whole[name]).all()


def test_calibration_error_is_the_weighted_gap_between_confidence_and_accuracy():
    confidence = np.array([0.95, 0.95, 0.95, 0.95, 0.5, 0.5])
    correct = np.array([1, 1, 1, 0, 1, 0])
    assert calibration_error(confidence, correct) == pytest.approx(4 / 6 * 0.2)
    table = calibration_table(confidence, correct)
    assert [(row["n"], row["accuracy"]) for row in table] == [(2, 0.5), (4, 0.75)]
    assert sum(row["n"] * abs(row["accuracy"] - row["confidence"]) for row in table) / 6 == pytest.approx(
        4 / 6 * 0.2
    )


def test_bins_are_closed_above_so_that_certainty_has_one():
    table = calibration_table(np.array([0.0, 1 / 15, 1.0]), np.array([0, 0, 1]))
    assert [(row["low"], row["n"]) for row in table] == [(0.0, 2), (round(14 / 15, 4), 1)]


def test_the_table_of_classes_goes_by_name():
    table = per_class_table(confusion(np.array([0, 1, 1]), np.array([0, 1, 0]), 2), ["消极", "积极"])
    assert table["积极"] == {"precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3), "support": 2.0}


def fewest_edits(one, other):
    """The definition, by trying everything."""
    if not one or not other:
        return len(one) + len(other)
    if one[0] == other[0]:
        return fewest_edits(one[1:], other[1:])
    return 1 + min(fewest_edits(*p) for p in ((one[1:], other), (one, other[1:]), (one[1:], other[1:])))


def test_edit_distance_is_the_fewest_edits_and_a_metric():
    chance = random.Random(1)
    texts = ["".join(chance.choices("ab文", k=chance.randrange(6))) for _ in range(12)]
    for a in texts:
        assert edit_distance(a, a) == 0
        for b in texts:
            assert edit_distance(a, b) == fewest_edits(a, b) == edit_distance(b, a)
            assert abs(len(a) - len(b)) <= edit_distance(a, b) <= max(len(a), len(b))
            assert all(edit_distance(a, c) <= edit_distance(a, b) + edit_distance(b, c) for c in texts)


def test_error_rates_are_edits_over_all_the_references():
    assert error_rate(["the cat sat", "on"], ["the hat sat down", ""]) == 3 / 4
    assert error_rate(["今天 天气"], ["今天天汽"], unit="character") == 1 / 4
    assert error_rate(["a b"], ["a  b "]) == 0
    with pytest.raises(DataError, match="the references hold no word"):
        error_rate(["", " "], ["a", "b"])
    with pytest.raises(ValueError, match="zip"):
        error_rate(["a"], [])
