"""Rows of any task bring their scores, and what is made of them is what is made of the whole."""

import math

import numpy as np
import pytest

from luban.errors import DataError
from luban.evaluate.compare import compare
from luban.evaluate.intervals import Plan
from luban.evaluate.row_scores import row_statistic, scores_of
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
