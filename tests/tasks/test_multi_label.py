"""Rows with lists of labels become a model folder that says several."""

import json

import pytest

from luban.errors import DataError
from luban.files import read_json, read_jsonl, write_jsonl
from luban.log import Log
from luban.tasks.classify_settings import MultiLabelSettings
from luban.tasks.model_settings import ModelSettings
from luban.tasks.multi_label import LABELS, prepare, read_labels, score
from luban.tasks.prepared import train_prepared
from luban.tasks.settings import ScoreSettings
from luban.tasks.task import open_predictor, task_of

BERT = ModelSettings(family="bert", size="tiny", dim=16, n_layers=1, n_heads=2, max_len=32, dropout=0.0)
QUIET = Log(quiet=True)
TOPICS = {"球赛": "体育", "market": "money", "virus": "health"}


def rows(n=60):
    made = []
    for i in range(n):
        said = [word for k, word in enumerate(TOPICS) if i >> k & 1]
        split = ("train", "train", "train", "validation", "test")[i % 5]
        made.append(
            {"text": f"news {i % 7} {' '.join(said)}", "labels": [TOPICS[w] for w in said], "split": split}
        )
    return made


def trained(tmp_path, table=None, **changes):
    data, out = tmp_path / "rows.jsonl", tmp_path / "out"
    write_jsonl(data, rows() if table is None else table)
    out.mkdir()
    often = {"evaluate_every_steps": 30, "save_every_steps": 60}
    usual = often | {
        "model": BERT,
        "pool": "mean",
        "steps": 60,
        "lr": 0.02,
        "vocab_size": 300,
        "threads": 1,
        "patience": 0,
    }
    settings = MultiLabelSettings(**(usual | changes))
    facts = train_prepared(prepare(settings, {"data": data}, out, QUIET), out, QUIET)
    return data, out, facts


@pytest.mark.parametrize(
    ("value", "names"),
    [
        (["b", "a", "a"], ["a", "b"]),
        ('["体育", "a;b"]', ["a;b", "体育"]),
        ("体育；money; ", ["money", "体育"]),
        ([], []),
        ("", []),
        ([1, 1.0, "1"], ["1"]),
        (3, ["3"]),
    ],
)
def test_labels_are_a_list_or_text(value, names):
    assert json.loads(read_labels(value)) == names


@pytest.mark.parametrize("value", [None, {"a": 1}, [["a"]], [None]])
def test_what_is_no_list_of_labels_is_set_aside(value):
    assert LABELS.read(value) == ""


def test_it_learns_each_label_on_its_own_and_the_folder_is_hugging_faces(tmp_path):
    data, out, facts = trained(tmp_path)
    assert facts["best"]["micro_f1"] > 0.95
    assert read_json(out / "config.json")["problem_type"] == "multi_label_classification"
    assert len(facts["decision"]["thresholds"]) == 3
    assert task_of(out).name == "multi_label"  # by its head, for no manifest is there
    answers = open_predictor(out).predict([{"text": "news 3 球赛 virus"}, {"text": "news 5"}])
    assert [sorted(a["labels"]) for a in answers] == [["health", "体育"], []]
    scored = tmp_path / "scores"
    scored.mkdir()
    found = score(ScoreSettings(resamples=20), out, data, scored, QUIET)
    assert found["metrics"]["exact_match"]["value"] > 0.9
    assert found["per_label"]["体育"]["support"] == sum("体育" in r["labels"] for r in rows()[4::5])
    assert next(iter(read_jsonl(scored / "predictions.jsonl")))["score"] in (0, 1)


def test_rows_without_any_label_in_training_are_an_error(tmp_path):
    with pytest.raises(DataError, match="none of"):
        trained(tmp_path, [r | {"labels": []} for r in rows()])
