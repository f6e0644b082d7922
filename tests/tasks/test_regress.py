"""Rows with numbers become a model folder that estimates them."""

import numpy as np
import pytest

from luban.errors import CheckpointError, DataError
from luban.files import read_json, read_jsonl, write_jsonl
from luban.log import Log
from luban.tasks.classify_settings import RegressSettings
from luban.tasks.model_settings import ModelSettings
from luban.tasks.predict import load_classifier
from luban.tasks.prepared import train_prepared
from luban.tasks.regress import prepare, read_number, score
from luban.tasks.settings import ScoreSettings
from luban.tasks.task import open_predictor, task_of

SHAPE = {"size": "tiny", "dim": 16, "n_layers": 1, "n_heads": 2, "max_len": 32, "dropout": 0.0}
QUIET = Log(quiet=True)


def rows(n=60):
    """A text that names how good it is, far from 0 and with a wide spread."""
    words = ("很差", "差", "ok", "good", "great")
    return [
        {
            "text": f"评 {i % 4} {words[i % 5]}",
            "score": 1000 + 50.0 * (i % 5),
            "split": ("train", "train", "validation", "test")[i // 5 % 4],
        }
        for i in range(n)
    ]


def trained(tmp_path, table=None, family="bert", **changes):
    data, out = tmp_path / "rows.jsonl", tmp_path / "out"
    write_jsonl(data, rows() if table is None else table)
    out.mkdir()
    usual = {
        "model": ModelSettings(family=family, **SHAPE),
        "pool": "mean",
        "steps": 60,
        "lr": 0.02,
        "vocab_size": 300,
    }
    settings = RegressSettings(
        **(
            usual
            | {"threads": 1, "patience": 0, "evaluate_every_steps": 30}
            | {"save_every_steps": 60}
            | changes
        )
    )
    facts = train_prepared(prepare(settings, {"data": data}, out, QUIET), out, QUIET)
    return data, out, facts


@pytest.mark.parametrize("family", ["bert", "llama"])  # Llama's last layer has no bias to hold the mean
def test_the_folder_gives_numbers_as_the_rows_have_them(tmp_path, family):
    steps = {"bert": 60, "llama": 120}[family]
    data, out, facts = trained(tmp_path, family=family, steps=steps)
    answers = open_predictor(out).predict([{"text": "评 1 很差"}, {"text": "评 2 great"}])
    low, high = (a["value"] for a in answers)
    assert low == pytest.approx(1000, abs=60)
    assert high == pytest.approx(1200, abs=60)
    assert read_json(out / "config.json")["problem_type"] == "regression"
    assert task_of(out).name == "regress"
    scored = tmp_path / "scores"
    scored.mkdir()
    held_out = score(ScoreSettings(split="validation", resamples=20), out, data, scored, QUIET)
    whole = held_out["metrics"]["mean_squared_error"]["value"]
    there = list(read_jsonl(scored / "predictions.jsonl"))
    assert whole == pytest.approx(np.mean([(r["value"] - r["expected"]) ** 2 for r in there]))
    assert whole == pytest.approx(facts["best"]["mean_squared_error"], rel=0.01)  # the last layer was changed
    assert held_out["metrics"]["pearson"]["value"] > 0.8


@pytest.mark.parametrize(
    ("value", "text"), [(1, "1.0"), ("2.5", "2.5"), (" 3 ", "3.0"), ("1e3", "1000.0"), (-0.5, "-0.5")]
)
def test_numbers_are_read_from_what_they_may_be_written_as(value, text):
    assert read_number(value) == text


@pytest.mark.parametrize("value", [None, "", "good", True, float("nan"), "inf", [1]])
def test_what_is_no_number_is_set_aside(value):
    assert read_number(value) == ""


def test_rows_that_all_have_one_number_are_an_error(tmp_path):
    with pytest.raises(DataError, match=r"7\.0"):
        trained(tmp_path, [r | {"score": 7} for r in rows()])


def test_a_model_of_numbers_is_no_classifier(tmp_path):
    _, out, _ = trained(tmp_path, steps=2)
    with pytest.raises(CheckpointError, match="a number"):
        load_classifier(out)
