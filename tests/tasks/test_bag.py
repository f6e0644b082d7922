"""The baseline learns, and its folder gives the same answers bit for bit."""

import json
import sys

import numpy as np
import pytest

from luban.errors import CheckpointError, ConfigError, DataError, MissingExtra
from luban.files import write_jsonl
from luban.log import Log
from luban.tasks.bag import bag, fit, is_mostly_cjk, log_count_ratios
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


def examples_of(made: list[dict[str, str]]):
    from luban.data.examples import Examples
    from luban.records import Example

    parts = {
        part: [Example(str(i), r["text"], r["label"]) for i, r in enumerate(made) if r["split"] == part]
        for part in ("train", "validation", "test")
    }
    return Examples(**parts, labels=sorted({e.label for e in parts["train"]}))


def test_words_and_characters_are_counted_side_by_side_and_chinese_by_characters_alone():
    english, _ = fit(examples_of(rows()), BagSettings())
    assert [(v.analyzer, v.ngram_range[1]) for v in english.views] == [("word", 2), ("char", 5)]
    chinese = [{**row, "text": "很好看" if row["label"] == "positive" else "太难看了"} for row in rows()]
    found, _ = fit(examples_of(chinese), BagSettings())
    assert [(v.analyzer, v.ngram_range[1]) for v in found.views] == [("char", 4)]
    assert (found.probabilities(["好看", "难看"]).argmax(-1) == [1, 0]).all()


def test_logits_are_the_sum_over_views_of_what_scikit_learn_gives():
    model, _ = fit(examples_of(rows()), BagSettings())
    asked = ["a great film", "boring, dull", ""]
    counts = np.hstack([view.transform(asked).toarray() for view in model.views])
    np.testing.assert_allclose(model.scorer(asked), counts @ model.weights.T + model.bias, atol=1e-10)


def test_ratios_are_logs_of_the_shares_of_rows_that_hold_an_n_gram():
    from scipy.sparse import csr_matrix

    counts, targets = csr_matrix([[2.0, 0, 1], [1, 0, 1], [0, 3, 1], [0, 0, 1]]), np.array([0, 0, 1, 1])
    first, second, third = log_count_ratios(counts, targets)
    assert first == pytest.approx(np.log((2 + 1) / (2 + 2) / ((0 + 1) / (2 + 2))))
    assert second == pytest.approx(np.log((1 + 1) / (2 + 2) / ((0 + 1) / (2 + 2))))
    assert third == pytest.approx(0)


def test_the_penalty_is_that_with_the_lowest_validation_loss():
    examples = examples_of(rows(80))
    truth = np.array([e.label == "positive" for e in examples.validation], int)
    losses = {}
    for strength in (None, 1.0, 4.0, 16.0):
        model, said = fit(examples, BagSettings(regularisation=strength))
        given = model.probabilities([e.text for e in examples.validation])
        losses[strength] = -np.log(given[np.arange(len(truth)), truth]).mean()
        assert strength in (None, said["regularisation"])
    assert losses[None] <= min(losses.values()) * 1.01 + 1e-6


def test_a_folder_of_one_view_opens_as_before(tmp_path):
    from luban.files import read_json, write_json

    model, _ = fit(examples_of(rows()), BagSettings(characters=0))
    save_bag(model, tmp_path)
    config = read_json(tmp_path / "config.json")
    (view,) = config.pop("views")
    write_json(tmp_path / "config.json", {**config, "analyzer": view["analyzer"], "ngrams": view["ngrams"]})
    asked = ["a great film", ""]
    assert (load_bag(tmp_path).probabilities(asked) == model.probabilities(asked)).all()


def test_nothing_to_count_is_refused():
    with pytest.raises(ConfigError, match="leave nothing to count"):
        BagSettings(words=0, characters=0)
