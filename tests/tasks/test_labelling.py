"""What classes that are rare, texts that are long, and labels of mixed types become."""

import pytest

from luban.errors import DataError
from luban.files import read_json, write_jsonl
from luban.log import Log
from luban.tasks.classify import classify
from luban.tasks.classify_score import score
from luban.tasks.classify_settings import ClassifySettings
from luban.tasks.predict import load_classifier
from luban.tasks.settings import ScoreSettings
from tests.tasks.test_classify import BERT, rows, settings

QUIET = Log(quiet=True)


def run(tmp_path, table=None, **changes):
    data, out = tmp_path / "rows.jsonl", tmp_path / "out"
    write_jsonl(data, rows() if table is None else table)
    out.mkdir()
    often = {"evaluate_every_steps": 15, "save_every_steps": 30}
    return data, out, classify(settings(**(often | changes)), {"data": data}, out, QUIET)


def test_numbers_as_labels_are_one_label_however_they_are_written(tmp_path):
    written = {"好评": [1, "1", 1.0], "差评": [0, "0", 0.0]}
    table = [r | {"label": written[r["label"]][i % 3]} for i, r in enumerate(rows())]
    _, out, facts = run(tmp_path, table, steps=2)
    assert facts["labels"] == ["0", "1"]
    assert set(load_classifier(out).labels) == {"0", "1"}


def test_a_folder_holds_temperature_threshold_and_the_least_probability(tmp_path):
    odd = {"class_weights": "balanced", "focal_gamma": 1.0, "threshold": "f1", "abstain_precision": 0.9}
    data, out, facts = run(tmp_path, **odd)
    kept = read_json(out / "config.json")["decision"]
    assert set(facts["decision"]) <= set(kept)
    assert kept["temperature"] != 1
    assert len(kept["thresholds"]) == 1
    found = load_classifier(out).predict(["a great, lovely film", ""])
    assert found[0].label in ("好评", None)
    scored = tmp_path / "scores"
    scored.mkdir()
    score(ScoreSettings(resamples=10), out, data, scored, QUIET)  # with rows that may have no answer


def test_long_texts_are_read_whole_in_windows(tmp_path):
    filler = " and so on and on" * 30
    table = [r | {"text": f"film {i}{filler} {r['text']}"} for i, r in enumerate(rows())]
    _, out, facts = run(tmp_path, table, model=BERT, max_len=16, long="windows", window_pool="max", steps=3)
    assert facts["counts"]["cut_rows"] == 0
    assert read_json(out / "config.json")["decision"]["window"] == 16
    one, other = load_classifier(out).predict([filler * 20 + " great", filler * 20 + " awful"])
    assert one.probabilities != other.probabilities  # the end is read


def test_one_class_is_an_error_and_a_test_set_of_one_row_is_scored(tmp_path):
    with pytest.raises(DataError, match="one label only"):
        run(tmp_path, [r | {"label": "好评"} for r in rows()])
    table = [r for r in rows() if r["split"] != "test"] + [rows()[4]]
    where = tmp_path / "again"
    where.mkdir()
    data, out, _ = run(where, table, steps=2)
    scored = where / "scores"
    scored.mkdir()
    assert score(ScoreSettings(resamples=10), out, data, scored, QUIET)["metrics"]["accuracy"]["n"] == 1


def test_a_stride_that_leaves_tokens_out_is_refused():
    with pytest.raises(Exception, match="leave out"):
        ClassifySettings(max_len=8, stride=9)
