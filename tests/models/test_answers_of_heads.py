"""A head of classes says what its scores mean, in the words of Hugging Face's files."""

import json

import pytest
import torch

from luban.errors import CheckpointError
from luban.files import read_json
from luban.models.build import build_model
from luban.models.config import HeadConfig
from luban.models.families import FAMILIES
from luban.models.folder import read_config
from luban.models.load import load_model, save_model

PROBLEMS = {"several": "multi_label_classification", "number": "regression"}
TINY = {"dim": 16, "n_layers": 1, "n_heads": 2, "max_len": 16, "pad_id": 0}


def built(family, answer):
    labels = ("a", "乙", "c") if answer != "number" else ("stars",)
    head = HeadConfig(
        kind="classes", n_classes=len(labels), labels=labels, answer=answer, pool=FAMILIES[family].pool
    )
    config = FAMILIES[family].config("tiny", vocab_size=32, head=head, **TINY)
    return build_model(config, seed=1).eval()


@pytest.mark.parametrize("family", ["bert", "roberta", "gpt2", "llama"])
@pytest.mark.parametrize("answer", PROBLEMS)
def test_a_folder_says_what_scores_mean_and_transformers_gives_the_same(family, answer, tmp_path):
    transformers = pytest.importorskip("transformers")
    model = built(family, answer)
    save_model(model, tmp_path)
    assert read_json(tmp_path / "config.json")["problem_type"] == PROBLEMS[answer]
    assert read_config(tmp_path).head == model.config.head
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    assert theirs.config.problem_type == PROBLEMS[answer]
    ids = torch.arange(3, 12)[None]
    with torch.no_grad():
        torch.testing.assert_close(theirs(ids).logits, model(ids), atol=1e-5, rtol=1e-5)
    again = tmp_path / "theirs"
    theirs.save_pretrained(again)
    loaded = load_model(again)
    assert loaded.config.head.answer == answer
    with torch.no_grad():
        torch.testing.assert_close(loaded(ids), model(ids), atol=1e-5, rtol=1e-5)


def test_one_score_without_a_word_is_a_number_and_several_are_classes(tmp_path):
    for name, answer in (("stars", "number"), ("classes", "one")):
        save_model(built("bert", answer), tmp_path / name)
        path = tmp_path / name / "config.json"
        config = read_json(path)
        config.pop("problem_type", None)
        path.write_text(json.dumps(config))
        assert read_config(tmp_path / name).head.answer == answer


def test_an_unknown_problem_is_refused_by_name(tmp_path):
    save_model(built("bert", "several"), tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(read_json(path) | {"problem_type": "ranking"}))
    with pytest.raises(CheckpointError, match="ranking"):
        read_config(tmp_path)
