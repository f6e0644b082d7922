"""Scores on pairs: what is counted, with which intervals, by which of the two kinds of model."""

from pathlib import Path

import pytest
import torch

from luban.errors import DataError
from luban.files import read_json, read_jsonl, write_jsonl
from luban.models.load import load_model, save_model
from luban.tasks.prefer_score import score
from luban.tasks.reward import HEAD
from luban.tasks.settings import ScoreSettings
from tests.tasks.test_prefer import QUIET, pairs, tiny


def test_a_model_is_scored_by_which_answer_it_finds_likelier(tmp_path: Path) -> None:
    model = tiny(tmp_path / "model")
    swapped = [row | {"chosen": row["rejected"], "rejected": row["chosen"]} for row in pairs(6)]
    write_jsonl(tmp_path / "pairs.jsonl", [*pairs(6), *swapped, {"prompt": "x", "chosen": "a"}])
    facts = score(ScoreSettings(resamples=50), model, tmp_path / "pairs.jsonl", tmp_path, QUIET)
    accuracy = facts["metrics"]["accuracy"]
    assert accuracy["value"] == 0.5  # whatever the model finds, half of the pairs are turned round
    assert accuracy["low"] < 0.5 < accuracy["high"]
    assert accuracy["n"] == facts["counts"]["n"] == 12
    assert "reward_accuracy" not in facts["metrics"]
    assert read_json(tmp_path / "scores.json")["signature"].startswith("accuracy|ties:half|n:12|")
    rows = list(read_jsonl(tmp_path / "predictions.jsonl"))
    assert [row["preferred_gap"] > 0 for row in rows] == [row["correct"] == 1 for row in rows]


def test_a_reward_model_is_scored_by_its_rewards(tmp_path: Path) -> None:
    model = load_model(tiny(tmp_path / "base"), head=HEAD)
    with torch.no_grad():
        model.head.classes.weight.zero_()  # type: ignore[union-attr]
    save_model(model, tmp_path / "base")
    write_jsonl(tmp_path / "pairs.jsonl", pairs(4))
    facts = score(ScoreSettings(resamples=20), tmp_path / "base", tmp_path / "pairs.jsonl", tmp_path, QUIET)
    assert facts["metrics"]["accuracy"]["value"] == 0.5  # ties are half won
    assert facts["metrics"]["margin"]["value"] == 0.0


def test_a_split_that_is_not_there_is_refused(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "pairs.jsonl", [row | {"split": "train"} for row in pairs(3)])
    with pytest.raises(DataError, match="no rows of the split test"):
        score(ScoreSettings(), tiny(tmp_path / "model"), tmp_path / "pairs.jsonl", tmp_path, QUIET)
