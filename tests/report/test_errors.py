"""The part about errors groups confusions with their texts, and lets no text of the data become markup."""

from luban.report.errors import read_errors
from luban.report.page import write_report
from tests.report.conftest import RunWriter, write_rows

ROWS = [
    {"id": "1", "text": "<script>alert(1)</script> it is the film", "label": "good", "predicted": "bad", "probability": 0.9},
    {"id": "2", "text": "这部电影很好看", "label": "good", "predicted": "bad", "probability": 0.7},
    {"id": "3", "text": "a fine film of the year", "label": "good", "predicted": "good", "probability": 0.8},
]  # fmt: skip


def test_confusions_lengths_and_languages_are_told(tmp_path):
    write_rows(tmp_path / "predictions.jsonl", ROWS)
    found = read_errors(tmp_path, "s", [])
    ((wanted, said, rows, n),) = found.confusions
    assert (wanted, said, n, rows[0].sure) == ("good", "bad", 2, 0.9)
    assert {name: mean for name, _, mean in found.by_language} == {"zh": 0.0, "en": 0.5}
    assert sum(n for _, n, _ in found.by_length) == 3


def test_rows_with_scores_are_told_from_the_worst(tmp_path):
    rows = [
        {"id": str(i), "question": f"q{i}", "answer": "a", "answers": ["b"], "score": {"f1": i / 10}}
        for i in range(10)
    ]
    write_rows(tmp_path / "predictions.jsonl", rows)
    found = read_errors(tmp_path, "s", [])
    assert [row.text for row in found.worst][:2] == ["q0", "q1"]
    write_rows(tmp_path / "predictions.jsonl", [{"id": "1", "bits": 3, "bytes": 4}])
    assert read_errors(tmp_path, "s", []) is None


def test_the_page_shows_errors_and_what_perturbed_rows_lose(tmp_path):
    run = RunWriter(tmp_path / "run")
    lost = {"first": 0.9, "second": 0.8, "value": -0.1, "low": -0.2, "high": -0.05, "p_value": 0.01, "n": 3}
    facts = {
        "metrics": {"accuracy": {"value": 1 / 3, "low": 0, "high": 1, "n": 3}}, "family": "bag", "signature": "s",
        "robust": {"typos": {"changed": 3, "n": 3, "metrics": {"accuracy": lost}}},
        "domains": {"shops": {"n": 3, "drop": {"accuracy": lost}}},
    }  # fmt: skip
    folder = run.stage("scores", "evaluate", {"model": "/m", "data": "/d"}, facts)
    write_rows(folder / "predictions.jsonl", ROWS)
    page = write_report(tmp_path / "run", tmp_path / "page.html").read_text("utf-8")
    assert "<script>alert" not in page
    assert "错误分析" in page
    assert page.count("-0.100 [-0.200, -0.050]") == 2
    assert "shops" in page
