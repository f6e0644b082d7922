"""Temperatures, thresholds, and when not to answer."""

import numpy as np
import pytest

from luban.evaluate.calibration import (
    best_threshold,
    fit_sigmoid_temperature,
    fit_temperature,
    precision_threshold,
)


def drawn(n=4000, k=3, scale=1.0, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, k)) * 2
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    labels = (rng.random((n, 1)) > p.cumsum(-1)).sum(-1)
    return logits * scale, np.minimum(labels, k - 1)


@pytest.mark.parametrize("scale", [0.25, 1.0, 4.0])
def test_logits_that_were_multiplied_get_that_number_as_their_temperature(scale):
    assert fit_temperature(*drawn(scale=scale)) == pytest.approx(scale, rel=0.08)


def test_the_temperature_is_that_of_a_general_optimiser():
    optimize = pytest.importorskip("scipy.optimize")
    logits, labels = drawn(n=300, scale=2.5)

    def loss(log_t):
        scaled = logits / np.exp(log_t)
        return -(scaled[np.arange(len(labels)), labels] - np.log(np.exp(scaled).sum(-1))).mean()

    found = optimize.minimize_scalar(loss, bounds=(-3, 3), method="bounded", options={"xatol": 1e-9})
    assert fit_temperature(logits, labels) == pytest.approx(np.exp(found.x), rel=1e-4)


def test_sigmoids_get_their_temperature_too():
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(3000, 2)) * 2
    labels = (rng.random(logits.shape) < 1 / (1 + np.exp(-logits))).astype(int)
    assert fit_sigmoid_temperature(logits * 3, labels) == pytest.approx(3, rel=0.1)


def test_rows_that_are_all_right_end_at_the_bound_and_not_at_zero():
    assert 0.05 <= fit_temperature(np.eye(3) * 5, np.arange(3)) < 0.2


def test_no_threshold_has_a_better_f1():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(2)
    truth = rng.random(200) < 0.1
    scores = np.round(np.clip(rng.normal(0.2 + 0.3 * truth, 0.15), 0, 1), 2)  # with ties
    found = best_threshold(scores, truth)
    of_all = max(metrics.f1_score(truth, scores >= t) for t in np.arange(0, 1.01, 0.005))
    assert metrics.f1_score(truth, scores >= found) == pytest.approx(of_all)


def test_a_label_that_never_occurs_keeps_one_half():
    assert best_threshold(np.array([0.1, 0.9]), np.array([False, False])) == 0.5


def test_the_lowest_confidence_that_is_right_often_enough_answers():
    confidence = np.array([0.99, 0.9, 0.8, 0.7, 0.6])
    correct = np.array([True, True, False, True, False])
    assert precision_threshold(confidence, correct, 1.0) == 0.9
    assert precision_threshold(confidence, correct, 0.75) == 0.7
    assert precision_threshold(confidence, ~correct, 0.99) is None
    assert precision_threshold(np.array([0.9, 0.9]), np.array([True, False]), 0.9) is None  # one confidence
