"""Rows of multiple choice and of minimal pairs are known by their columns, and scored with intervals."""

import pytest

import luban
from luban.errors import DataError
from luban.files import read_json, read_jsonl, write_jsonl
from luban.log import Log
from luban.models.build import build_model
from luban.models.families import FAMILIES
from luban.tasks.score import score, scoring_task
from luban.tasks.settings import ScoreSettings
from luban.tokenizer.train import train_bpe

QUIET = Log(quiet=True)
CHOICES = [
    {"id": f"q{i}", "subject": ("history", "地理")[i % 2], "question": q, "choices": c, "answer": i % 2}
    for i, (q, c) in enumerate([("Who?", ["he", "she"]), ("哪里？", ["北京", "上海"])] * 4)
]
PAIRS = [
    {"sentence_good": "Cats sleep.", "sentence_bad": "Cats sleeps.", "phenomenon": "agreement"},
    {"sentence_good": "一本书", "sentence_bad": "一只书", "phenomenon": "measure word"},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    tokenizer = train_bpe(["Who? he she 哪里？北京上海 Cats sleep. 一本书"] * 3, 300, template=False)
    config = FAMILIES["gpt2"].config("tiny", dim=16, n_layers=1, max_len=64, vocab_size=tokenizer.vocab_size)
    luban.save(build_model(config), tokenizer, folder)
    return folder


def scored(folder, path, table, **settings):
    path.mkdir(exist_ok=True)
    write_jsonl(path / "rows.jsonl", table)
    settings = ScoreSettings(resamples=20, **settings)
    return score(settings, {"model": folder, "data": path / "rows.jsonl"}, path, QUIET)


def test_the_columns_say_which_task_the_rows_are_of(folder, tmp_path):
    for name, rows in (("choice", CHOICES), ("pairs", PAIRS)):
        write_jsonl(tmp_path / f"{name}.jsonl.gz", rows)
        assert scoring_task(folder, tmp_path / f"{name}.jsonl.gz").name == name


def test_scores_stand_with_intervals_by_group_beside_guessing(folder, tmp_path):
    facts = scored(folder, tmp_path / "scores", CHOICES)
    assert read_json(tmp_path / "scores" / "scores.json") == facts
    rows = list(read_jsonl(tmp_path / "scores" / "predictions.jsonl"))
    assert [r["id"] for r in rows] == [r["id"] for r in CHOICES]
    assert set(facts["metrics"]) == {"accuracy", "accuracy_per_byte", "accuracy_per_token"}
    right = sum(r["label"] == r["predicted"] for r in rows) / len(rows)
    assert facts["metrics"]["accuracy"]["value"] == right
    assert {g["accuracy"]["n"] for g in facts["groups"]["scores"].values()} == {4}
    assert facts["chance"] == 0.5
    assert facts["signature"].startswith("accuracy|choices:text|n:8|boot:20")
    letters = scored(folder, tmp_path / "letters", CHOICES, choices="letter", rows=4)
    assert letters["signature"].startswith("accuracy|choices:letter|n:4")


def test_pairs_are_scored_by_phenomenon(folder, tmp_path):
    facts = scored(folder, tmp_path / "scores", PAIRS)
    assert list(facts["groups"]["scores"]) == ["agreement", "measure word"]
    assert facts["metrics"]["accuracy"]["n"] == 2


def test_rows_that_cannot_be_asked_are_kept_apart_with_their_reasons(folder, tmp_path):
    bad = [{**CHOICES[0], "answer": 9}, {**CHOICES[0], "choices": ["one"]}]
    facts = scored(folder, tmp_path / "scores", [*CHOICES, *bad])
    assert facts["counts"] == {"n": 8, "rejects": 2}
    rejects = list(read_jsonl(tmp_path / "scores" / "rejects.jsonl"))
    assert [r["line"] for r in rejects] == [9, 10]
    with pytest.raises(DataError, match="no row that can be scored: line 1: answer = 9 is none of the 2"):
        scored(folder, tmp_path / "none", bad)


def test_a_split_column_is_followed_and_one_row_is_scored(folder, tmp_path):
    rows = [{**row, "split": ("train", "test")[i == 3]} for i, row in enumerate(CHOICES)]
    facts = scored(folder, tmp_path / "scores", rows)
    assert (facts["split"], facts["metrics"]["accuracy"]["n"]) == ("test", 1)
    with pytest.raises(DataError, match="no row to score in the split validation"):
        scored(folder, tmp_path / "scores", rows, split="validation")
