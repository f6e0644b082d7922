"""A golden file passes on the model that wrote it and fails on one that changed."""

import json

import pytest
import torch

from luban.errors import CheckpointError
from luban.evaluate.golden import Answer, record, replay
from luban.models.build import build_model
from luban.models.config import HeadConfig
from luban.models.families import FAMILIES
from luban.tokenizer.train import train_bpe

PROMPTS = ["one fine day", "一个好天气"]


@pytest.fixture(scope="module")
def tokenizer():
    return train_bpe(["one fine day and another fine day", "一个好天气，又一个好天气"], 300, template=False)


def writer(tokenizer, seed=1, max_len=64):
    size = {"dim": 32, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "max_len": max_len}
    config = FAMILIES["llama"].config("tiny", vocab_size=tokenizer.vocab_size, **size)
    return build_model(config, seed=seed).eval()


def sorter(tokenizer, seed=1):
    head = HeadConfig(kind="classes", n_classes=2, labels=("bad", "good"), pool="mean")
    return build_model(
        FAMILIES["recurrent"].config("tiny", vocab_size=tokenizer.vocab_size, dim=32, head=head), seed=seed
    ).eval()


@torch.no_grad()
def ask_writer(model, tokenizer):
    """Answer as a copy would, through the cached decoder."""
    from luban.generate import SamplingSettings, generate

    def ask(row):
        settings = SamplingSettings(max_new_tokens=row["new_tokens"], temperature=0.0)
        with torch.no_grad():
            logits = model(torch.tensor([row["ids"]]))[0, -1].tolist()
        text = generate(model, tokenizer, [row["prompt"]], settings=settings)[0]
        return Answer(tokenizer.encode(row["prompt"]), logits, text)

    return ask


def test_the_model_that_wrote_it_passes_with_no_difference_and_through_the_cache(tmp_path, tokenizer):
    model = writer(tokenizer)
    content = record(model, tokenizer, PROMPTS, tmp_path / "golden.json")
    assert content["kind"] == "text"
    assert [len(row["top"]) for row in content["prompts"]] == [20, 20]
    outcome = replay(tmp_path / "golden.json", ask_writer(model, tokenizer))
    assert outcome.drifts == []
    assert outcome.max_difference == 0
    assert outcome.n_prompts == 2


def test_a_model_whose_weights_moved_drifts(tmp_path, tokenizer):
    model = writer(tokenizer)
    record(model, tokenizer, PROMPTS, tmp_path / "golden.json")
    with torch.no_grad():
        model.stem.tokens.weight.mul_(1.01)
    outcome = replay(tmp_path / "golden.json", ask_writer(model, tokenizer))
    assert any(d.what.startswith("logit") for d in outcome.drifts)
    assert outcome.max_difference > 1e-4


def test_a_classifier_is_recorded_whole_with_its_label(tmp_path, tokenizer):
    content = record(sorter(tokenizer), tokenizer, PROMPTS, tmp_path / "golden.json")
    row = content["prompts"][0]
    assert row["label"] == max(row["probabilities"], key=row["probabilities"].get)
    assert len(row["logits"]) == 2


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"ids": [1, 2]}, "token ids"),
        ({"label": "neither"}, "label"),
        ({"logits": [0.0, float("nan")]}, "logit 0"),
        ({"probabilities": {}}, "probability of bad"),
    ],
)
def test_every_part_of_an_answer_is_held_to_the_file(tmp_path, tokenizer, changed, what):
    record(sorter(tokenizer), tokenizer, PROMPTS[:1], tmp_path / "golden.json")
    outcome = replay(tmp_path / "golden.json", lambda row: Answer(**changed))
    assert outcome.drifts[0].what == what


def test_what_a_copy_does_not_show_is_not_compared(tmp_path, tokenizer):
    record(sorter(tokenizer), tokenizer, PROMPTS, tmp_path / "golden.json")
    assert replay(tmp_path / "golden.json", lambda row: Answer()).drifts == []


def test_after_a_near_tie_only_the_sure_part_of_a_text_is_compared(tmp_path):
    row = {"prompt": "p", "ids": [1], "new_tokens": 4, "text": "ab cd", "sure_text": "ab", "logits": []}
    (tmp_path / "golden.json").write_text(json.dumps({"kind": "text", "prompts": [row]}))
    assert replay(tmp_path / "golden.json", lambda _: Answer(text="ab xy")).drifts == []
    assert replay(tmp_path / "golden.json", lambda _: Answer(text="aX")).drifts[0].what == "text"


def test_prompts_that_do_not_fit_the_model_are_left_out_and_room_to_write_is_kept(tmp_path, tokenizer):
    model = writer(tokenizer, max_len=8)
    content = record(model, tokenizer, ["day", "day " * 20, ""], tmp_path / "golden.json")
    assert [row["prompt"] for row in content["prompts"]] == ["day"]
    row = content["prompts"][0]
    assert len(row["ids"]) + row["new_tokens"] == 8


def test_recording_leaves_the_model_in_the_mode_it_was_in(tmp_path, tokenizer):
    model = sorter(tokenizer).train()
    record(model, tokenizer, PROMPTS, tmp_path / "golden.json")
    assert model.training


def test_a_file_that_is_something_else_is_refused(tmp_path):
    (tmp_path / "golden.json").write_text("[]")
    with pytest.raises(CheckpointError, match="is not a golden file"):
        replay(tmp_path / "golden.json", lambda row: Answer())
