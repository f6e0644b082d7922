"""A tiny model that learns from preferences: what it learns, what it saves, what is set aside."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from luban.errors import DataError
from luban.files import read_jsonl, write_jsonl
from luban.log import Log
from luban.models.build import build_model
from luban.models.families import FAMILIES
from luban.models.load import load_model, save_model
from luban.objectives.answers import answer_log_probs
from luban.tasks.judged_batches import read_encoded
from luban.tasks.prefer import prepare
from luban.tasks.prefer_rows import read_judged
from luban.tasks.prefer_settings import PreferSettings
from luban.tasks.prepared import train_prepared
from luban.tokenizer import load_tokenizer
from luban.tune.settings import LoraSettings
from tests.tokenizer.test_chat import CHATML, speaking

SETTINGS = PreferSettings(
    steps=8, lr=0.02, tokens_per_batch=512, max_len=200, evaluate_every_steps=8, save_every_steps=8,
    lora=LoraSettings(rank=4), trackers=(), threads=1, compile="off",
)  # fmt: skip
QUIET = Log(quiet=True)


def pairs(n: int = 24) -> list[dict[str, Any]]:
    return [
        {
            "messages": [{"role": "user", "content": f"Which is {i}? 第{i}个?"}],
            "chosen": "A good one, 好的。",
            "rejected": "A bad one.",
        }
        for i in range(n)
    ]


def tiny(folder: Path) -> Path:
    tokenizer = speaking(CHATML)
    size = {"dim": 16, "n_layers": 1, "n_heads": 2, "n_kv_heads": 1, "ffn_dim": 24, "max_len": 200}
    config = FAMILIES["llama"].config(
        "tiny", vocab_size=tokenizer.vocab_size, eos_id=tokenizer.eos_id, tied=True, **size
    )
    save_model(build_model(config), folder)
    tokenizer.save(folder)
    return folder


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Path]:
    write_jsonl(tmp_path / "pairs.jsonl.gz", pairs())
    return {"model": tiny(tmp_path / "base"), "data": tmp_path / "pairs.jsonl.gz"}


@pytest.mark.parametrize("loss", ["dpo", "ipo", "kto", "orpo", "simpo"])
def test_held_out_answers_are_preferred_as_they_should_be(
    loss: Any, inputs: dict[str, Path], tmp_path: Path
) -> None:
    settings = dataclasses.replace(SETTINGS, loss=loss, method="full" if loss == "dpo" else "lora")
    out = tmp_path / "out"
    facts = train_prepared(prepare(settings, inputs, out, QUIET), out, QUIET)
    assert facts["best"]["loss"] < facts["first"]["loss"]
    name = "auc" if loss == "kto" else "accuracy"
    assert facts["best"][name] == 1.0
    if loss in ("dpo", "ipo", "kto"):
        assert facts["first"][name] == 0.5  # nothing has moved from the reference yet
        assert facts["first"]["margin"] == pytest.approx(0.0, abs=1e-4)
    assert load_model(out).config.eos_id == load_tokenizer(out).token_id("<|im_end|>")
    assert (out / "adapter").exists() == (loss != "dpo")


def test_every_row_carries_what_the_start_model_says_of_its_answer(
    inputs: dict[str, Path], tmp_path: Path
) -> None:
    batches = prepare(SETTINGS, inputs, tmp_path, QUIET).run.batches
    base = load_model(inputs["model"])
    tokenizer = load_tokenizer(inputs["model"])
    for batch in batches.at(1):
        torch.testing.assert_close(batch.reference, answer_log_probs(base, batch)[0])
        for i, targets in enumerate(batch.targets):
            said = tokenizer.decode(targets[targets != -100].tolist(), skip_special=False)
            assert said == ("A bad one.<|im_end|>" if i % 2 else "A good one, 好的。<|im_end|>")


def test_answers_to_other_questions_tell_how_far_the_model_moved(
    inputs: dict[str, Path], tmp_path: Path
) -> None:
    settings = dataclasses.replace(SETTINGS, loss="kto", kl_group=3)
    batches: Any = prepare(settings, inputs, tmp_path, QUIET).run.batches
    tokenizer = load_tokenizer(inputs["model"])
    batch = batches.read(torch.arange(1).numpy())
    said = [tokenizer.decode(t[t != -100].tolist(), skip_special=False) for t in batch.targets]
    asked = [tokenizer.decode(t[:12].tolist(), skip_special=False) for t in batch.tokens]
    assert said[3:] == [*said[1:3], said[0]]
    assert asked[3:] == asked[:3]


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [{"role": "user", "content": "问?"}], "chosen": "好", "rejected": "坏"},
        {"prompt": "问?", "chosen": "好", "rejected": "坏"},
        {"instruction": "问?", "input": "", "chosen": "好", "rejected": "坏"},
        {
            "conversations": [{"from": "human", "value": "问?"}],
            "chosen": {"from": "gpt", "value": "好"},
            "rejected": {"from": "gpt", "value": "坏"},
        },
        {
            "prompt": "问?",
            "chosen": [{"role": "user", "content": "问?"}, {"role": "assistant", "content": "好"}],
            "rejected": [{"role": "user", "content": "问?"}, {"role": "assistant", "content": "坏"}],
        },
        {"chosen": "\n\nHuman: 问?\n\nAssistant: 好", "rejected": "\n\nHuman: 问?\n\nAssistant: 坏"},
    ],
)
def test_the_forms_of_the_world_say_the_same(row: dict[str, Any], tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", [row])
    (judged,) = read_judged(tmp_path / "rows.jsonl").kept
    assert judged.prompt == ({"role": "user", "content": "问?"},)
    assert (judged.chosen, judged.rejected) == ("好", "坏")


@pytest.mark.parametrize(("label", "good"), [(True, True), (0, False), ("false", False), ("1", True)])
def test_a_label_says_whether_the_one_answer_is_good(label: Any, good: bool, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", [{"prompt": "问?", "completion": "答", "label": label}])
    (judged,) = read_judged(tmp_path / "rows.jsonl").kept
    assert (judged.chosen, judged.rejected) == (("答", None) if good else (None, "答"))


def test_rows_that_teach_nothing_are_set_aside_with_their_reasons(
    inputs: dict[str, Path], tmp_path: Path
) -> None:
    ask = {"messages": [{"role": "user", "content": "x"}]}
    bad = [
        ask | {"chosen": "same ", "rejected": "same"},
        ask | {"chosen": "", "rejected": "y"},
        ask | {"chosen": "y"},
        ask | {"chosen": "y" * 400, "rejected": "n"},
        {"prompt": "x", "completion": "y", "label": "maybe"},
        {"prompt": "x", "completion": "y", "label": True},
        {"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: c\n\nAssistant: d"},
        {"text": "nothing of the kind"},
    ]
    write_jsonl(inputs["data"], [*pairs(), *bad])
    found = read_encoded(inputs, load_tokenizer(inputs["model"]), 200, 0.1)
    reasons = [row["reason"] for row in found.rejects]
    assert len(reasons) == len(bad)
    for part in ("are the same", "is no answer", "one is missing", "more than max_len", "neither true nor",
                 "only kto learns", "do not answer the same turns", "no conversation"):  # fmt: skip
        assert any(part in reason for reason in reasons), part
    assert len(found.train.judged) + len(found.validation.judged) == 24


def test_a_file_without_a_usable_row_says_what_it_should_hold(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", [{"prompt": "x", "chosen": "a", "rejected": "a"}])
    with pytest.raises(DataError, match="1 rejected; the first: line 1: chosen and rejected are the same"):
        read_judged(tmp_path / "rows.jsonl")


def test_a_run_that_goes_on_ends_in_the_same_weights(inputs: dict[str, Path], tmp_path: Path) -> None:
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    settings = dataclasses.replace(SETTINGS, steps=4, save_every_steps=2, evaluate_every_steps=2)
    train_prepared(prepare(settings, inputs, whole, QUIET), whole, QUIET)

    class Stop(Exception):
        pass

    prepared = prepare(settings, inputs, halves, QUIET)
    at = prepared.run.batches.at

    def stopping(step: int) -> Any:
        if step == 4:
            raise Stop
        return at(step)

    prepared.run.batches.at = stopping  # type: ignore[method-assign]
    with pytest.raises(Stop):
        train_prepared(prepared, halves, QUIET)
    train_prepared(prepare(settings, inputs, halves, QUIET), halves, QUIET)
    assert json.loads((halves / "config.json").read_text()) == json.loads((whole / "config.json").read_text())
    tokens = torch.arange(20)[None]
    assert torch.equal(load_model(whole)(tokens), load_model(halves)(tokens))
    assert list(read_jsonl(whole / "rejects.jsonl")) == []
