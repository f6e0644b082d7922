"""The rows that are scored are the right ones, and every score stands in the folder."""

from pathlib import Path

import pytest

from luban.errors import CheckpointError, DataError
from luban.evaluate.compare import compare
from luban.files import read_json, read_jsonl, write_jsonl
from luban.log import Log
from luban.runner import run_recipe
from luban.tasks.classify_score import score_held_out
from luban.tasks.score import score
from luban.tasks.settings import BagSettings, ScoreSettings

pytest.importorskip("sklearn", reason="the quickest model to score is the baseline")
QUIET = Log(quiet=True)
WORDS = {"positive": ("fine", "lovely", "great"), "negative": ("dull", "awful", "boring")}
NAMES = tuple("alder birch cedar elm fir hazel larch maple oak pine rowan willow yew".split())


def rows(n: int = 120, split: bool = True) -> list[dict[str, str]]:
    made = []
    for i in range(n):
        label = ("negative", "positive")[i % 2]
        word, name, other = WORDS[label][i % 3], NAMES[i % 13], NAMES[i * 5 // 13 % 13]
        row = {"text": f"{name} and {other} in a {word} film number {i}", "label": label}
        made.append(row | {"split": ("train", "train", "dev", "test")[i // 2 % 4]} if split else row)
    return made


def train_bag(folder: Path, table: list[dict[str, str]]) -> tuple[Path, Path]:
    """Train through the runner, so that the folder has a manifest; return (model, data)."""
    from luban.cli.stage import one_stage

    write_jsonl(folder / "rows.jsonl", table)
    run_recipe(one_stage("bag", "train", {"data": folder / "rows.jsonl"}, folder / "model"), QUIET)
    return folder / "model", folder / "rows.jsonl"


def scored(model: Path, data: Path, out: Path, **changes):
    out.mkdir()
    return score(ScoreSettings(resamples=50, **changes), {"model": model, "data": data}, out, QUIET)


@pytest.fixture
def trained(tmp_path):
    return train_bag(tmp_path, rows())


def test_the_folder_holds_every_score_and_every_row(trained, tmp_path):
    facts = scored(*trained, tmp_path / "scores")
    assert read_json(tmp_path / "scores" / "scores.json") == facts
    predictions = list(read_jsonl(tmp_path / "scores" / "predictions.jsonl"))
    right = sum(p["label"] == p["predicted"] for p in predictions) / len(predictions)
    assert facts["metrics"]["accuracy"]["value"] == pytest.approx(right)
    assert facts["metrics"]["accuracy"]["n"] == facts["counts"]["n"] == len(predictions)
    assert sum(map(sum, facts["confusion"]["counts"])) == len(predictions)
    assert facts["latency_ms"] > 0
    assert facts["signature"].startswith(f"accuracy|n:{len(predictions)}|boot:50|ci:0.95|seed:1|luban:")


def test_a_split_column_decides_which_rows_are_scored(trained, tmp_path):
    model, data = trained
    for split, wanted in (("test", "test"), ("validation", "dev"), ("train", "train")):
        facts = scored(model, data, tmp_path / split, split=split)
        expected = {row["text"] for row in rows() if row["split"] == wanted}
        assert {p["text"] for p in read_jsonl(tmp_path / split / "predictions.jsonl")} == expected
        assert facts["split"] == split


def test_another_file_without_a_split_column_is_scored_whole(trained, tmp_path):
    write_jsonl(tmp_path / "other.jsonl", rows(30, split=False))
    facts = scored(trained[0], tmp_path / "other.jsonl", tmp_path / "scores")
    assert facts["counts"]["n"] == 30
    assert "|split:all|" in facts["signature"]


def test_another_file_that_holds_test_rows_only_needs_no_rows_for_training(trained, tmp_path):
    write_jsonl(tmp_path / "other.jsonl", [row | {"split": "test"} for row in rows(30)])
    assert scored(trained[0], tmp_path / "other.jsonl", tmp_path / "scores")["counts"]["n"] == 30


def test_of_the_training_file_only_what_training_held_out_is_scored(tmp_path):
    model, data = train_bag(tmp_path, rows(split=False))
    scored(model, data, tmp_path / "scores")
    tested = {p["text"] for p in read_jsonl(tmp_path / "scores" / "predictions.jsonl")}
    assert tested == {row["text"] for row in read_jsonl(model / "test.jsonl.gz")}
    assert 0 < len(tested) < 60


def test_rows_scored_at_the_end_of_training_are_those_that_evaluate_scores(tmp_path):
    model, data = train_bag(tmp_path, rows(split=False))
    facts = scored(model, data, tmp_path / "scores")
    held_out = score_held_out(model, BagSettings(), data)
    assert held_out["test"]["accuracy"]["value"] == facts["metrics"]["accuracy"]["value"]
    assert held_out["test"]["accuracy"]["n"] == facts["counts"]["n"]


def test_a_label_the_model_has_never_seen_counts_as_an_error(trained, tmp_path):
    known = rows(20, split=False)
    write_jsonl(
        tmp_path / "more.jsonl", [*known, *({"text": f"so so {i}", "label": "neutral"} for i in range(5))]
    )
    facts = scored(trained[0], tmp_path / "more.jsonl", tmp_path / "scores")
    assert facts["counts"] == {"n": 25, "unknown_labels": 5}
    assert facts["metrics"]["accuracy"]["value"] <= 20 / 25
    assert facts["per_class"]["neutral"] == {"precision": 0, "recall": 0, "f1": 0, "support": 5}


def test_rows_with_no_label_the_model_knows_are_refused(trained, tmp_path):
    write_jsonl(tmp_path / "other.jsonl", [{"text": "fine", "label": "1"}, {"text": "dull", "label": "0"}])
    with pytest.raises(DataError, match="knows none of the labels in the rows: 0, 1") as caught:
        scored(trained[0], tmp_path / "other.jsonl", tmp_path / "scores")
    assert caught.value.fix == "name the rows' labels as the model does: negative, positive"


def test_a_split_without_rows_is_an_error_that_counts_the_others(trained, tmp_path):
    write_jsonl(tmp_path / "other.jsonl", [row | {"split": "train"} for row in rows(30)])
    with pytest.raises(DataError, match="has no rows of the split test; it has 30 train"):
        scored(trained[0], tmp_path / "other.jsonl", tmp_path / "scores")


def test_scores_of_one_file_can_be_compared(trained, tmp_path):
    for name in ("a", "b"):
        scored(*trained, tmp_path / name)
    assert compare(tmp_path / "a", tmp_path / "b").verdict == "not distinguishable"


def test_a_folder_that_is_no_model_or_no_shards_is_an_error(trained, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="holds no config.json, so it is not a model"):
        scored(tmp_path / "empty", trained[1], tmp_path / "a")
    with pytest.raises(DataError, match="is no folder of token shards with a split test"):
        scored(trained[0], tmp_path / "empty", tmp_path / "b")
