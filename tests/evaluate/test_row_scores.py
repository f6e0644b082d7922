"""Rows of any task bring their scores, and what is made of them is what is made of the whole."""

import math

import numpy as np
import pytest

from luban.errors import DataError
from luban.evaluate.compare import compare
from luban.evaluate.intervals import Plan, apart_bootstrap
from luban.evaluate.row_scores import row_statistic, scores_of
from luban.evaluate.row_shapes import statistic_of
from luban.files import write_jsonl


def rows(values, parts=None):
    return [
        {"id": str(i), "score": {"f1": v}, **({"parts": {"error_rate": parts[i]}} if parts else {})}
        for i, v in enumerate(values)
    ]


def test_means_are_over_rows_and_sums_over_the_corpus():
    made = scores_of(rows([1, 0, 0.5], [[1, 2], [0, 10], [3, 8]]), Plan(resamples=50))
    assert made["f1"]["value"] == 0.5
    assert made["error_rate"]["value"] == pytest.approx(4 / 20)
    assert made["error_rate"]["low"] <= 0.2 <= made["error_rate"]["high"]


def test_a_resample_is_the_metric_of_the_drawn_rows():
    statistic = row_statistic(rows([1, 0], [[1, 2], [5, 10]]))
    drawn = statistic(np.array([[0, 0], [0, 1]]))
    assert drawn["f1"].tolist() == [1, 0.5]
    assert drawn["error_rate"].tolist() == [0.5, 0.5]


@pytest.mark.parametrize("bad", [math.nan, None, "high"])
def test_a_score_that_is_no_number_is_named_with_its_row(bad):
    with pytest.raises(DataError, match=rf"f1 of row 1 is {bad}, which is no finite number"):
        scores_of(rows([1, bad]), Plan(resamples=10))


def test_rows_with_other_metrics_and_no_rows_are_refused():
    with pytest.raises(DataError, match="row 7 has other metrics than the first, f1"):
        scores_of([*rows([1]), {"id": 7, "score": {"bleu": 1}}], Plan())
    with pytest.raises(DataError, match="no rows"):
        scores_of([], Plan())


def test_systems_of_any_task_are_compared_by_what_their_rows_bring(tmp_path):
    draw = np.random.default_rng(3)
    first = draw.random(60)
    for name, values in (("a", first), ("b", first + 0.05)):
        (tmp_path / name).mkdir()
        write_jsonl(tmp_path / name / "predictions.jsonl", rows(values.tolist(), [[1, 2]] * 60))
    found = compare(tmp_path / "a", tmp_path / "b", Plan(resamples=200))
    assert (found.decided_by, found.verdict) == ("f1", "better")
    assert found.differences["f1"].value == pytest.approx(0.05)
    by_errors = compare(tmp_path / "a", tmp_path / "b", Plan(resamples=200), by="error_rate")
    assert by_errors.verdict == "not distinguishable"
    with pytest.raises(DataError, match="no metric f2") as caught:
        compare(tmp_path / "a", tmp_path / "b", by="f2")
    assert "f1" in caught.value.fix


def test_one_row_decides_nothing(tmp_path):
    for name, value in (("a", 0), ("b", 1)):
        (tmp_path / name).mkdir()
        write_jsonl(tmp_path / name / "predictions.jsonl", rows([value]))
    assert compare(tmp_path / "a", tmp_path / "b").verdict == "not distinguishable"


SHAPES = [
    ([{"id": 1, "expected": ["a"], "labels": ["a", "b"], "score": 0.0}], "micro_f1", 2 / 3),
    ([{"id": 1, "expected": 2.0, "value": 2.5, "score": -0.5}], "mean_absolute_error", 0.5),
    (
        [{"id": 1, "answers": ["a"], "answer": "a", "f1": 1.0, "exact_match": 0.0, "score": 0.3}],
        "exact_match",
        0.0,
    ),
    ([{"line": 1, "chosen": "a", "rejected": "b", "correct": 0.5}], "accuracy", 0.5),
    ([{"id": 1, "score": 0.25}], "score", 0.25),
    ([{"id": 1, "label": "a", "predicted": "b", "probability": 0.6}], "accuracy", 0.0),
]


@pytest.mark.parametrize(("shape", "name", "value"), SHAPES)
def test_rows_of_every_task_are_read_by_their_columns(shape, name, value):
    assert statistic_of(shape, "here")(np.array([[0]]))[name] == pytest.approx([value])


def test_rows_without_a_score_are_refused():
    with pytest.raises(DataError, match="the rows hold id, text, and none of it is a score"):
        statistic_of([{"id": 1, "text": "x"}], "here")


def test_sets_of_other_rows_are_drawn_apart():
    made = [row_statistic(rows(v)) for v in ([1.0, 0.0] * 20, [0.0] * 10)]
    lost = apart_bootstrap(made[0], made[1], (40, 10), Plan(resamples=300))["f1"]
    assert (lost.value, lost.n) == (-0.5, 10)
    assert lost.low < -0.5 < lost.high < 0
