"""Intervals repeat with their seed, hold the value, and narrow with more rows."""

import numpy as np
import pytest

from luban.errors import DataError
from luban.evaluate.intervals import (
    Plan,
    bootstrap,
    interval_text,
    paired_bootstrap,
    ratio_of_sums,
    signature,
)
from luban.evaluate.metrics import classification
from luban.evaluate.row_scores import scores_of


def system(n: int, share_right: float, seed: int):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, n)
    guesses = np.where(generator.random(n) < share_right, labels, 1 - labels)
    return classification(labels, guesses, 2), float((labels == guesses).mean())


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    statistic, _ = system(200, 0.8, 1)
    assert bootstrap(statistic, 200, Plan(seed=3)) == bootstrap(statistic, 200, Plan(seed=3))
    assert bootstrap(statistic, 200, Plan(seed=3)) != bootstrap(statistic, 200, Plan(seed=4))


def test_the_interval_of_accuracy_is_the_one_the_binomial_predicts():
    statistic, accuracy = system(2000, 0.8, 1)
    score = bootstrap(statistic, 2000, Plan())["accuracy"]
    assert score.value == pytest.approx(accuracy)
    half = 1.96 * np.sqrt(accuracy * (1 - accuracy) / 2000)
    assert score.low == pytest.approx(accuracy - half, abs=0.004)
    assert score.high == pytest.approx(accuracy + half, abs=0.004)


def test_drawing_in_parts_changes_nothing(monkeypatch):
    statistic, _ = system(200, 0.8, 1)
    whole = bootstrap(statistic, 200, Plan(resamples=50))
    monkeypatch.setattr("luban.evaluate.intervals._CELLS", 7 * 200)
    assert bootstrap(statistic, 200, Plan(resamples=50)) == whole


def test_the_same_system_twice_differs_by_nothing():
    statistic, _ = system(200, 0.8, 1)
    same = paired_bootstrap(statistic, statistic, 200, Plan(resamples=100))["accuracy"]
    assert (same.value, same.low, same.high, same.p_value) == (0, 0, 0, 1)


def test_pairing_finds_a_small_constant_gain_that_separate_intervals_hide():
    generator = np.random.default_rng(2)
    labels = generator.integers(0, 2, 1000)
    first = np.where(generator.random(1000) < 0.7, labels, 1 - labels)
    second = first.copy()
    wrong = np.flatnonzero(first != labels)[:25]
    second[wrong] = labels[wrong]  # right wherever the first is, and on 25 rows more
    a, b = classification(labels, first, 2), classification(labels, second, 2)
    assert bootstrap(a, 1000, Plan())["accuracy"].high > bootstrap(b, 1000, Plan())["accuracy"].low
    difference = paired_bootstrap(a, b, 1000, Plan())["accuracy"]
    assert difference.value == pytest.approx(0.025)
    assert 0 < difference.low < 0.025 < difference.high
    assert 0 < difference.p_value < 0.01


def test_gains_and_losses_that_cancel_out_are_no_evidence():
    labels = np.zeros(400, dtype=np.int64)
    first, second = labels.copy(), labels.copy()
    first[:40], second[40:80] = 1, 1
    difference = paired_bootstrap(
        classification(labels, first, 2), classification(labels, second, 2), 400, Plan()
    )["accuracy"]
    assert difference.value == 0
    assert difference.p_value > 0.9


def test_a_ratio_of_sums_weighs_long_documents_by_their_length():
    statistic = ratio_of_sums("bits_per_byte", np.array([10.0, 90.0]), np.array([10.0, 30.0]))
    assert bootstrap(statistic, 2, Plan(resamples=20))["bits_per_byte"].value == 2.5


def test_no_rows_is_an_error_that_says_where_to_look():
    with pytest.raises(DataError, match="there are no rows to score\n  fix: check the file and the --split"):
        bootstrap(system(1, 1.0, 1)[0], 0, Plan())


def test_the_signature_names_all_that_decides_the_score():
    from luban import __version__

    line = signature("accuracy", 856, Plan(), "test", "0123456789abcdef")
    assert line == f"accuracy|n:856|boot:1000|ci:0.95|seed:1|luban:{__version__}|split:test|data:0123456789ab"


def test_one_row_has_a_score_and_no_interval():
    rows = [{"id": "1", "score": {"f1": 0.5}}]
    assert scores_of(rows, Plan()) == {"f1": {"value": 0.5, "low": None, "high": None, "n": 1}}
    assert interval_text(scores_of(rows, Plan())["f1"]) == "none: one row"
    assert interval_text({"value": 0.5, "low": None, "high": None, "n": 9}) == "none"
    assert interval_text(scores_of(rows * 2, Plan())["f1"], 1) == "0.5 to 0.5"
