"""Every way to tune, through the commands: what cannot be folded is opened wherever a model folder is."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from luban.files import read_json, write_jsonl
from luban.models.build import build_model
from luban.models.families import FAMILIES
from luban.models.load import save_model
from luban.tokenizer.train import train_bpe
from luban.tune.load import is_adapter
from tests.cli.test_train import rows
from tests.tasks.test_chat import talks
from tests.tasks.test_qa import rows as questions
from tests.tokenizer.test_chat import CHATML, speaking
from tests.tune.conftest import few

if TYPE_CHECKING:
    from tests.cli.conftest import Command

SIZE = {"dim": 16, "n_layers": 2, "n_heads": 2, "ffn_dim": 32, "max_len": 96}
QUICK = (
    *("--set", "train.steps=2", "--set", "train.lr=0.05", "--set", "train.threads=1"),
    *("--set", "train.front.n=4", "--set", "train.bottleneck.width=4", "--set", "train.tokens_per_batch=512"),
)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny encoder that has read both languages."""
    folder = tmp_path_factory.mktemp("encoder")
    texts = [row["text"] for row in rows()] + [row["context"] for row in questions()]
    tokenizer = train_bpe(texts, 320, template=True)
    save_model(build_model(FAMILIES["bert"].config("tiny", vocab_size=tokenizer.vocab_size, **SIZE)), folder)
    tokenizer.save(folder)
    return folder


@pytest.fixture(scope="module")
def talker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny decoder with a chat template."""
    folder, tokenizer = tmp_path_factory.mktemp("talker"), speaking(CHATML)
    config = FAMILIES["llama"].config(
        "tiny", vocab_size=tokenizer.vocab_size, eos_id=tokenizer.eos_id, **SIZE | {"max_len": 200}
    )
    save_model(build_model(config), folder)
    tokenizer.save(folder)
    return folder


def last(text: str) -> Any:
    return json.loads(text.splitlines()[-1])


def tuned(command: Command, task: str, method: str, base: Path, data: Path, out: Path) -> Path:
    line = ("train", "--task", task, "--method", method, "--model", base, "--data", data, "--out", out)
    answer = command(*line, *QUICK, "--json")
    assert answer.code == 0, answer.err
    return out


@pytest.mark.parametrize("method", few(("prefix", "prompt", "bottleneck"), "prompt"))
def test_a_classifier_that_is_not_folded_is_scored_asked_and_served_as_it_was_trained(
    method: str, encoder: Path, tmp_path: Path, command: Command
) -> None:
    from luban.serve.served import Answerer, open_all
    from luban.tasks.golden import golden
    from luban.tasks.settings import GoldenSettings

    write_jsonl(tmp_path / "rows.jsonl", rows())
    out = tuned(command, "classify", method, encoder, tmp_path / "rows.jsonl", tmp_path / "out")
    assert is_adapter(out)
    kept = read_json(out / "golden.json")["prompts"][0]
    found = last(command("predict", out, "--text", kept["prompt"], "--json").out)
    assert found["label"] == kept["label"]
    assert found["probabilities"] == pytest.approx(kept["probabilities"], abs=1e-6)

    scored = last(command("evaluate", out, tmp_path / "rows.jsonl", "--json").out)
    assert scored["metrics"]["accuracy"]["n"] == 16
    [served] = open_all([out], ["x"])
    assert isinstance(served, Answerer)
    assert served.predictor.predict([{"text": kept["prompt"]}])[0]["label"] == kept["label"]

    from luban.log import Log

    checked = golden(
        dataclasses.replace(GoldenSettings(), copies=("reloaded", "transformers")),
        {"model": out}, tmp_path, Log(quiet=True),
    )  # fmt: skip
    assert [copy["prompts"] for copy in checked["copies"]] == [8, 0]
    assert "cannot be folded" in checked["copies"][1]["note"]


def test_a_chat_model_with_a_prompt_writes_and_answers_as_it_was_trained(
    talker: Path, tmp_path: Path, command: Command
) -> None:
    write_jsonl(tmp_path / "talks.jsonl", talks())
    out = tuned(command, "chat", "prompt", talker, tmp_path / "talks.jsonl", tmp_path / "out")
    kept = read_json(out / "golden.json")["prompts"][0]
    length = str(kept["new_tokens"])
    line = ("generate", out, kept["prompt"], "--max-new-tokens", length, "--temperature", "0", "--json")
    written = last(command(*line).out)
    assert written["text"].startswith(kept.get("sure_text", kept["text"]).rstrip("\ufffd"))
    assert command("predict", out, "--text", "Which number is 3?", "--json").code == 0
    scored = last(command("evaluate", out, tmp_path / "talks.jsonl", "--json").out)
    assert scored["metrics"]["loss"]["value"] > 0

    refused = command("train", "--task", "chat", "--model", out, "--data", tmp_path / "talks.jsonl", "--out",
                      tmp_path / "more", *QUICK)  # fmt: skip
    assert refused.code != 0
    assert "is an adapter beside its model" in refused.err


def test_answers_are_found_through_bottlenecks(encoder: Path, tmp_path: Path, command: Command) -> None:
    write_jsonl(tmp_path / "qa.jsonl", questions())
    out = tuned(command, "qa", "bottleneck", encoder, tmp_path / "qa.jsonl", tmp_path / "out")
    write_jsonl(tmp_path / "asked.jsonl", questions(2))
    found = command("predict", out, tmp_path / "asked.jsonl", "--json")
    assert found.code == 0, found.err
    scored = last(command("evaluate", out, tmp_path / "qa.jsonl", "--json").out)
    assert 0 <= scored["metrics"]["f1"]["value"] <= 1


def test_models_that_were_tuned_apart_are_merged_and_asked(
    encoder: Path, tmp_path: Path, command: Command
) -> None:
    write_jsonl(tmp_path / "rows.jsonl", rows())
    parts = [
        tuned(command, "classify", "full", encoder, tmp_path / "rows.jsonl", tmp_path / name) for name in "ab"
    ]
    for how in ("linear", "slerp"):
        merged = command("tune", "merge", *parts, "--how", how, "--out", tmp_path / how, "--json")
        assert merged.code == 0, merged.err
        found = last(command("predict", tmp_path / how, "--text", "a fine film", "--json").out)
        # Both were trained alike, so what lies between them is either.
        alike = last(command("predict", parts[0], "--text", "a fine film", "--json").out)
        assert found["probabilities"] == pytest.approx(alike["probabilities"], abs=1e-4)
