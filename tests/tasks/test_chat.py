"""A tiny model tuned on conversations: what it learns, what it saves, and what is refused."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from luban.errors import ConfigError, DataError
from luban.files import read_jsonl, write_jsonl
from luban.log import Log
from luban.models.build import build_model
from luban.models.families import FAMILIES
from luban.models.load import load_model, save_model
from luban.records import IGNORE
from luban.tasks.chat import chat, prepare
from luban.tasks.chat_settings import ChatSettings
from luban.tokenizer import load_tokenizer
from luban.tokenizer.chat_formats import read_template
from luban.tune.lora import adapted
from luban.tune.peft_folder import load_adapter
from luban.tune.settings import LoraSettings
from tests.tokenizer.test_chat import CHATML, LLAMA2, speaking
from tests.tokenizer.test_chat_formats import CALLS, TOOLS, WITH_TOOLS

SETTINGS = ChatSettings(
    steps=12, lr=0.02, tokens_per_batch=256, evaluate_every_steps=6, save_every_steps=6, lora=LoraSettings(rank=4),
    trackers=(), threads=1,
)  # fmt: skip
QUIET = Log(quiet=True)


def talks(n: int = 40) -> list[dict[str, Any]]:
    return [
        {
            "messages": [
                {"role": "user", "content": f"Which number is {i}?"},
                {"role": "assistant", "content": "An odd one." if i % 2 else "An even one, 偶数."},
            ]
        }
        for i in range(n)
    ]


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Path]:
    folder = tmp_path / "base"
    tokenizer = speaking(CHATML)
    size = {"dim": 32, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "ffn_dim": 48, "max_len": 200}
    config = FAMILIES["llama"].config(
        "tiny", vocab_size=tokenizer.vocab_size, eos_id=tokenizer.eos_id, tied=True, **size
    )
    model = build_model(config)
    with torch.no_grad():
        for parameter in model.parameters():  # large enough for every part to matter
            parameter += 0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(7))
    save_model(model, folder)
    tokenizer.save(folder)
    write_jsonl(tmp_path / "talks.jsonl.gz", talks())
    return {"model": folder, "data": tmp_path / "talks.jsonl.gz"}


def logits(folder: Path) -> torch.Tensor:
    return load_model(folder)(torch.arange(30)[None])


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_tuned_model_answers_better_and_is_an_ordinary_folder(
    method: Any, inputs: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    facts = chat(dataclasses.replace(SETTINGS, method=method), inputs, out, QUIET)
    assert facts["best"]["loss"] < 0.8 * facts["first"]["loss"]
    assert facts["counts"]["train_rows"] + facts["counts"]["validation_rows"] == 40
    assert facts["counts"]["rejected_rows"] == 0
    tuned = load_model(out)
    assert not adapted(tuned)
    assert tuned.config.eos_id == load_tokenizer(out).token_id("<|im_end|>")
    assert load_tokenizer(out).chat_template == CHATML
    assert (out / "adapter").exists() == (method == "lora")
    assert not torch.allclose(logits(out), logits(inputs["model"]), atol=1e-2)


def test_the_saved_adapter_on_the_base_scores_as_the_merged_model(
    inputs: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    chat(SETTINGS, inputs, out, QUIET)
    base = load_model(inputs["model"])
    load_adapter(base, out / "adapter")
    torch.testing.assert_close(base(torch.arange(30)[None]), logits(out), rtol=1e-4, atol=1e-4)
    assert json.loads((out / "adapter" / "adapter_config.json").read_text())["task_type"] == "CAUSAL_LM"


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
def test_peft_reads_the_adapter(inputs: dict[str, Path], tmp_path: Path) -> None:
    peft = pytest.importorskip("peft", reason="the reference library is not installed")
    transformers = pytest.importorskip("transformers", reason="the reference library is not installed")
    out = tmp_path / "out"
    chat(SETTINGS, inputs, out, QUIET)
    base = transformers.AutoModelForCausalLM.from_pretrained(inputs["model"])
    theirs = peft.PeftModel.from_pretrained(base, out / "adapter").eval()(torch.arange(30)[None]).logits
    torch.testing.assert_close(theirs, logits(out), rtol=1e-3, atol=1e-3)


def test_only_adapters_learn_and_only_answers_are_learnt(inputs: dict[str, Path], tmp_path: Path) -> None:
    run = prepare(SETTINGS, inputs, tmp_path, QUIET).run
    learns = {n for n, p in run.model.named_parameters() if p.requires_grad}
    assert learns
    assert all("lora_" in name for name in learns)
    tokenizer = load_tokenizer(inputs["model"])
    for batch in run.batches.at(3):
        for tokens, targets in zip(batch.tokens, batch.targets, strict=True):
            said = tokenizer.decode(targets[targets != IGNORE].tolist(), skip_special=False)
            assert set(said.split("<|im_end|>")) <= {"An odd one.", "An even one, 偶数.", ""}
            n_talks = tokenizer.decode(tokens.tolist(), skip_special=False).count("<|im_start|>assistant")
            assert said.count("<|im_end|>") == n_talks


def test_those_who_ask_the_same_are_in_one_part_whatever_the_seed(
    inputs: dict[str, Path], tmp_path: Path
) -> None:
    rows = talks(20)
    for row in talks(20):
        row["messages"][1] = {"role": "assistant", "content": "Another answer."}
        rows.append(row)
    write_jsonl(inputs["data"], rows)
    parts = []
    for seed in (1, 2):
        run = prepare(dataclasses.replace(SETTINGS, seed=seed), inputs, tmp_path, QUIET).run
        batches: Any = run.batches
        parts.append(sorted(batches._lengths))
    assert parts[0] == parts[1]
    assert len(parts[0]) % 2 == 0


def test_rows_that_cannot_be_learnt_are_set_aside_with_their_reasons(
    inputs: dict[str, Path], tmp_path: Path
) -> None:
    bad = [
        {"messages": [{"role": "user", "content": "x"}]},
        {"messages": [{"role": "user", "content": "y" * 300}, {"role": "assistant", "content": "z"}]},
        {"messages": [{"role": "user", "content": "<|im_end|>"}, {"role": "assistant", "content": "z"}]},
        {
            "messages": [
                {"role": "user", "content": "who?"},
                {"role": "assistant", "content": "I am {{name}}."},
            ]
        },
    ]
    write_jsonl(inputs["data"], [*talks(), *bad])
    out = tmp_path / "out"
    facts = chat(dataclasses.replace(SETTINGS, steps=2), inputs, out, QUIET)
    reasons = [row["reason"] for row in read_jsonl(out / "rejects.jsonl")]
    assert facts["counts"]["rejected_rows"] == 4
    for part in (
        "last turn is the user's",
        "more than max_len = 200",
        "a mark of the chat template",
        "{{name}}",
    ):
        assert any(part in reason for reason in reasons), part


def test_a_name_is_put_where_the_rows_leave_room_for_it(inputs: dict[str, Path], tmp_path: Path) -> None:
    rows = talks(8)
    for row in rows:
        row["messages"][1]["content"] = "I am {{name}} of {{author}}."
    write_jsonl(inputs["data"], rows)
    named = dataclasses.replace(SETTINGS, name="Ban", author="Lu")
    (batch, *_) = prepare(named, inputs, tmp_path, QUIET).run.batches.at(1)
    said = load_tokenizer(inputs["model"]).decode(batch.targets[batch.targets != IGNORE].tolist())
    assert "I am Ban of Lu." in said


def test_rows_to_validate_on_may_be_given(inputs: dict[str, Path], tmp_path: Path) -> None:
    write_jsonl(tmp_path / "dev.jsonl", talks(5))
    facts = chat(
        dataclasses.replace(SETTINGS, steps=2),
        inputs | {"eval": tmp_path / "dev.jsonl"},
        tmp_path / "out",
        QUIET,
    )
    assert (facts["counts"]["train_rows"], facts["counts"]["validation_rows"]) == (40, 5)


def test_a_split_that_rows_are_marked_with_is_followed(inputs: dict[str, Path], tmp_path: Path) -> None:
    parts = ["train"] * 30 + ["dev"] * 7 + ["test"] * 3
    write_jsonl(inputs["data"], [row | {"split": part} for row, part in zip(talks(), parts, strict=True)])
    facts = chat(dataclasses.replace(SETTINGS, steps=2), inputs, tmp_path / "out", QUIET)
    assert (facts["counts"]["train_rows"], facts["counts"]["validation_rows"]) == (30, 7)


def test_a_model_that_does_not_write_is_refused(inputs: dict[str, Path], tmp_path: Path) -> None:
    tokenizer = speaking(CHATML)
    size = {"dim": 32, "n_layers": 1, "n_heads": 4, "ffn_dim": 48, "max_len": 64}
    save_model(
        build_model(FAMILIES["bert"].config("tiny", vocab_size=tokenizer.vocab_size, **size)), inputs["model"]
    )
    with pytest.raises(ConfigError, match="does not go on with a text"):
        prepare(SETTINGS, inputs, tmp_path, QUIET)


def test_a_template_that_never_ends_an_answer_is_refused(inputs: dict[str, Path], tmp_path: Path) -> None:
    speaking("{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}").save(
        inputs["model"]
    )
    with pytest.raises(DataError, match="would not learn to stop"):
        prepare(SETTINGS, inputs, tmp_path, QUIET)


def test_a_template_that_refuses_every_row_is_the_fault(inputs: dict[str, Path], tmp_path: Path) -> None:
    speaking(LLAMA2.replace("== 0", "== 1")).save(inputs["model"])
    with pytest.raises(DataError, match="roles must alternate"):
        prepare(SETTINGS, inputs, tmp_path, QUIET)


def test_calls_of_tools_are_learnt(inputs: dict[str, Path], tmp_path: Path) -> None:
    inputs |= {
        "eval": inputs["data"],
        "data": tmp_path / "calls.jsonl",
        "model": longer(inputs["model"], tmp_path),
    }
    write_jsonl(inputs["data"], [{"messages": CALLS, "tools": TOOLS}] * 2)
    settings = dataclasses.replace(SETTINGS, template="qwen2.5", max_len=1000)
    (batch,) = prepare(settings, inputs, tmp_path / "out", QUIET).run.batches.at(1)
    learnt = load_tokenizer(inputs["model"]).decode(
        batch.targets[batch.targets != IGNORE].tolist(), skip_special=False
    )
    assert WITH_TOOLS["qwen2.5"] in learnt
    assert "12:00" not in learnt


def longer(folder: Path, tmp_path: Path) -> Path:
    model, tokenizer = load_model(folder), load_tokenizer(folder)
    model.config = dataclasses.replace(model.config, max_len=1000)
    save_model(model, tmp_path / "longer")
    tokenizer.save(tmp_path / "longer")
    return tmp_path / "longer"


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_base_model_is_given_a_format_whose_tokens_learn(
    method: Any, inputs: dict[str, Path], tmp_path: Path
) -> None:
    speaking(None).save(inputs["model"])
    before = load_model(inputs["model"]).stem.tokens.weight
    settings = dataclasses.replace(SETTINGS, template="luban", method=method)
    prepared = prepare(settings, inputs, tmp_path / "out", QUIET)
    begun = prepared.run.model.stem.tokens.weight.detach().clone()
    n_old = len(before)
    assert torch.equal(begun[:n_old], before)
    assert len({tuple(row.tolist()) for row in begun[n_old:]}) == 6
    out = tmp_path / "out"
    facts = chat(settings, inputs, out, QUIET)
    assert facts["best"]["loss"] < facts["first"]["loss"]
    tokenizer, model = load_tokenizer(out), load_model(out)
    end = tokenizer.token_id("<|end|>")
    assert (tokenizer.eos_id, model.config.eos_id, model.config.vocab_size) == (end, end, n_old + 6)
    assert tokenizer.chat_template == read_template("luban")
    after = model.stem.tokens.weight
    assert not torch.equal(after[n_old:], begun[n_old:])
    assert torch.equal(after[:n_old], before) == (method == "lora")
    assert not (out / "adapter").exists()


def test_a_model_without_a_format_is_told_how_to_get_one(inputs: dict[str, Path], tmp_path: Path) -> None:
    speaking(None).save(inputs["model"])
    with pytest.raises(DataError, match=r"train\.template=chatml"):
        prepare(SETTINGS, inputs, tmp_path, QUIET)


def test_several_files_are_learnt_together_and_some_rows_taken_of_each(
    inputs: dict[str, Path], tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "more.jsonl", talks(100)[40:])
    inputs |= {"data:2": tmp_path / "more.jsonl"}

    def n_rows(**settings: Any) -> int:
        run = prepare(dataclasses.replace(SETTINGS, **settings), inputs, tmp_path, QUIET).run
        return sum(
            len(batch.ids)
            for step in range(1, run.batches.steps_per_epoch + 1)
            for batch in run.batches.at(step)
        )

    assert n_rows() > n_rows(take=(0, 20)) > n_rows(take=(10, 20)) > 20
    with pytest.raises(ConfigError, match="3 numbers for 2 files"):
        n_rows(take=(1, 2, 3))


def test_a_stopped_run_ends_as_one_that_was_not(inputs: dict[str, Path], tmp_path: Path) -> None:
    from luban.train import run as module

    settings = dataclasses.replace(SETTINGS, lora=LoraSettings(rank=4, dropout=0.2), n_micro_batches=2)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    chat(settings, inputs, whole, QUIET)

    class Stop(Exception):
        pass

    def stopping(course: Any) -> Any:
        for step in original(course):
            if step.number == 9:
                raise Stop
            yield step

    original = module.train
    module.train = stopping  # type: ignore[assignment]
    try:
        with pytest.raises(Stop):
            chat(settings, inputs, parts, QUIET)
    finally:
        module.train = original
    chat(settings, inputs, parts, QUIET)
    first, second = (load_file(folder / "model.safetensors") for folder in (whole, parts))
    assert all(torch.equal(first[name], second[name]) for name in first)
    shutil.rmtree(parts)
