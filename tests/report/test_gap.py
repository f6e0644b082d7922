"""What the distance between training and validation rows suggests."""

import pytest

from luban.report.facts import read_run
from luban.report.gap import gap_of
from luban.report.page import draw_page


@pytest.mark.parametrize(
    ("name", "train", "best", "first", "verdict"),
    [
        ("accuracy", 0.99, 0.83, 0.5, "by heart"),
        ("accuracy", 0.62, 0.60, 0.5, "little learnt"),
        ("accuracy", 0.92, 0.90, 0.5, "close"),
        ("loss", 1.0, 1.6, 2.4, "by heart"),
        ("loss", 2.3, 2.35, 2.4, "little learnt"),
        ("loss", 1.0, 1.05, 2.4, "close"),
    ],
)
def test_the_gap_tells_over_fitting_from_too_little_and_from_room_for_more(name, train, best, first, verdict):
    facts = {"on_train": {name: train}, "best": {"step": 40, name: best}, "first": {"step": 0, name: first}}
    gap = gap_of(facts, {})
    assert gap.verdict == verdict
    assert f"{train:.3f}" in gap.english
    assert f"{best:.3f}" in gap.chinese


def test_the_score_that_decides_the_run_is_told():
    facts = {"on_train": {"accuracy": 0.9, "macro_f1": 0.8}, "best": {"accuracy": 0.9, "macro_f1": 0.5}}
    assert gap_of(facts, {"best_by": "macro_f1"}).name == "macro_f1"
    assert gap_of(facts, {"best_by": ""}).name == "accuracy"


@pytest.mark.parametrize("facts", [{}, {"on_train": {}}, {"on_train": None, "best": 3}, {"on_train": {"a": 1}, "best": {"a": "x"}}])  # fmt: skip
def test_facts_that_do_not_tell_have_no_gap(facts):
    assert gap_of(facts, {}) is None


def test_the_page_of_a_run_shows_the_gap_in_both_languages_and_its_warnings(run_writer, row_writer):
    facts = {"counts": {"steps": 1}, "best": {"step": 1, "accuracy": 0.8}, "on_train": {"accuracy": 0.99}}
    folder = run_writer.stage("train", "classify", {"data": "/rows.jsonl"}, facts)
    row_writer(
        folder / "metrics.jsonl", [{"step": 1, "loss": 0.5}, {"step": 1, "warning": "step 1: a spike"}]
    )
    page = draw_page(read_run(run_writer.folder), {})
    assert "learnt rows by heart" in page
    assert "死记" in page
    assert "step 1: a spike" in page
