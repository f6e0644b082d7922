"""The baseline learns, and its folder gives the same answers bit for bit."""

import json
import sys

import numpy as np
import pytest

from luban.errors import CheckpointError, DataError, MissingExtra
from luban.files import write_jsonl
from luban.log import Log
from luban.tasks.bag import bag, fit, is_mostly_cjk
from luban.tasks.bag_model import load_bag, save_bag
from luban.tasks.settings import BagSettings

pytest.importorskip("sklearn", reason="the baseline is scikit-learn's")
GOOD, BAD = ("fine", "lovely", "great"), ("dull", "awful", "boring")


def rows(n: int = 60) -> list[dict[str, str]]:
    made = []
    for i in range(n):
        words, label = (GOOD, "positive") if i % 2 else (BAD, "negative")
        split = ("train", "train", "train", "validation", "test")[i % 5]
        made.append(
            {"text": f"film {i} was {words[i % 3]} and {words[i // 3 % 3]}", "label": label, "split": split}
        )
    return made


@pytest.fixture
def fitted(tmp_path):
    write_jsonl(tmp_path / "rows.jsonl", rows())
    out = tmp_path / "out"
    out.mkdir()
    facts = bag(BagSettings(), {"data": tmp_path / "rows.jsonl"}, out, Log(quiet=True))
    return out, facts


def test_words_it_has_seen_decide(fitted):
    out, facts = fitted
    model = load_bag(out)
    assert model.labels == ("negative", "positive") == tuple(facts["labels"])
    assert (model.probabilities(["a great film", "an awful film"]).argmax(-1) == [1, 0]).all()
    assert facts["counts"]["train_rows"] == 36
    assert facts["counts"]["parameters"] == model.n_parameters


@pytest.mark.parametrize("labels", [("a", "b"), ("a", "b", "c")])
@pytest.mark.parametrize(
    "texts", [("good film", "bad film", "odd film"), ("很好看的电影", "太难看了", "说不清楚")]
)
def test_a_reloaded_bag_gives_the_same_probabilities_bit_for_bit(tmp_path, labels, texts):
    from luban.data.examples import Examples
    from luban.records import Example

    examples = [Example(str(i), f"{texts[i % len(labels)]} {i}", labels[i % len(labels)]) for i in range(30)]
    original, _ = fit(Examples(train=examples, labels=list(labels)), BagSettings())
    save_bag(original, tmp_path)
    asked = [*texts, "", "nothing known here", "好"]
    expected = original.probabilities(asked)
    assert (load_bag(tmp_path).probabilities(asked) == expected).all()
    np.testing.assert_allclose(expected.sum(-1), 1)


def test_the_folder_holds_no_pickle(fitted):
    out, _ = fitted
    assert sorted(p.name for p in out.iterdir()) == [
        "config.json",
        "rejects.jsonl",
        "test.jsonl.gz",
        "vocabulary.json",
        "weights.safetensors",
    ]
    assert json.loads((out / "config.json").read_text())["model_type"] == "luban-bag"


def test_chinese_is_counted_by_characters_and_english_by_words():
    assert is_mostly_cjk(["很好看 iPhone 也不错"])
    assert not is_mostly_cjk(["a film about 北京"])
    assert not is_mostly_cjk([""])


def test_weights_that_do_not_fit_the_vocabulary_are_refused(fitted):
    out, _ = fitted
    words = json.loads((out / "vocabulary.json").read_text())
    (out / "vocabulary.json").write_text(json.dumps(words[1:]))
    with pytest.raises(CheckpointError, match="config and vocabulary say"):
        load_bag(out)


def test_texts_without_words_are_an_error_that_says_so(tmp_path):
    write_jsonl(tmp_path / "rows.jsonl", [{**row, "text": "—" * (i + 1)} for i, row in enumerate(rows())])
    with pytest.raises(DataError, match="no n-gram can be counted"):
        bag(BagSettings(), {"data": tmp_path / "rows.jsonl"}, tmp_path, Log(quiet=True))


def test_without_scikit_learn_the_error_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(
        MissingExtra, match="scikit-learn, which is not installed\n  fix: pip install 'luban.eval.'"
    ):
        bag(BagSettings(), {"data": tmp_path / "rows.jsonl"}, tmp_path, Log(quiet=True))
