"""`luban train`, `evaluate`, `compare` and `predict`, from rows to answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from luban.files import write_jsonl

if TYPE_CHECKING:
    from tests.cli.conftest import Command

WORDS = {"好评": ("fine", "lovely", "great"), "差评": ("dull", "awful", "boring")}
FAST = (
    *("--set", "train.steps=20", "--set", "train.lr=0.02", "--set", "train.vocab_size=300"),
    *("--set", "train.threads=1"),
    *("--set", "train.model={family: recurrent, size: tiny, dim: 16}", "--set", "train.tokens_per_batch=256"),
)


def rows(n: int = 80) -> list[dict[str, str]]:
    made = []
    for i in range(n):
        label = ("好评", "差评")[i % 2]
        words = WORDS[label]
        split = ("train", "train", "train", "validation", "test")[i % 5]
        made.append(
            {"text": f"film {i} is {words[i % 3]}, {words[i // 3 % 3]}", "label": label, "split": split}
        )
    return made


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_jsonl(tmp_path / "rows.jsonl.gz", rows())
    return tmp_path / "rows.jsonl.gz"


def last(text: str) -> Any:
    return json.loads(text.splitlines()[-1])


def test_rows_become_a_model_that_scores_and_predicts(data: Path, tmp_path: Path, command: Command) -> None:
    out = tmp_path / "runs" / "x"
    trained = command("train", "--task", "classify", "--data", data, "--out", out, *FAST, "--json")
    assert trained.code == 0, trained.err
    assert set(last(trained.out)) == {"out", "validation", "test"}

    scored = last(command("evaluate", out, data, "--json").out)
    assert set(scored) == {"metrics", "signature"}
    assert scored["metrics"] == last(trained.out)["test"]
    accuracy = scored["metrics"]["accuracy"]
    assert 0 <= accuracy["low"] <= accuracy["value"] <= accuracy["high"] <= 1
    assert accuracy["n"] == 16
    assert "confusion" in command("evaluate", out, data).out

    found = last(command("predict", out, "--text", "a great, lovely film", "--json").out)
    assert found["label"] == "好评"
    (tmp_path / "texts.txt").write_text("dull and awful\n", encoding="utf-8")
    assert "差评" in command("predict", out, tmp_path / "texts.txt").out


def test_two_models_are_compared_on_the_rows_neither_saw(
    data: Path, tmp_path: Path, command: Command
) -> None:
    pytest.importorskip("sklearn", reason="one of the two is the baseline")
    for task, options in (("bag", ()), ("classify", (*FAST[2:], "--set", "train.steps=1"))):
        assert command("train", "--task", task, "--data", data, "--out", tmp_path / task, *options).code == 0
        arguments = ("evaluate", tmp_path / task, data, "--out", tmp_path / f"{task}-scores")
        assert command(*arguments).code == 0
    folders = [tmp_path / f"{task}-scores" for task in ("bag", "classify")]
    compared = last(command("compare", *folders, "--json").out)
    assert compared["verdict"] in ("worse", "not distinguishable")
    models = [tmp_path / "bag", tmp_path / "classify"]
    again = last(command("compare", *models, data, "--json").out)
    assert again["metrics"] == compared["metrics"]
    gated = command("compare", *folders, "--gate")
    assert gated.code == (3 if compared["verdict"] == "worse" else 0)
    assert "accuracy" in gated.out


def test_a_strangers_csv_trains_with_its_own_names_and_another_file_to_judge(
    tmp_path: Path, command: Command
) -> None:
    for name, part in (("train.csv", rows()), ("dev.csv", rows(100)[80:])):
        lines = ["评论内容,心情", *(f'"{r["text"]} 电影",{r["label"]}' for r in part)]
        (tmp_path / name).write_text("\n".join(lines), encoding="gb18030")
    arguments = (
        "train",
        "--task",
        "classify",
        "--data",
        tmp_path / "train.csv",
        "--eval",
        tmp_path / "dev.csv",
    )
    refused = command(*arguments, "--out", tmp_path / "x", *FAST)
    assert refused.code == 2
    assert "评论内容, 心情" in refused.err
    assert "--set train.columns." in refused.err
    named = ("--set", "train.columns.text=评论内容", "--set", "train.columns.label=心情")
    trained = command(*arguments, "--out", tmp_path / "x", *FAST, *named, "--json")
    assert trained.code == 0, trained.err
    assert last(trained.out)["test"]["accuracy"]["n"] == 20


def test_a_dry_run_trains_nothing(data: Path, tmp_path: Path, command: Command) -> None:
    done = command("train", "--task", "classify", "--data", data, "--out", tmp_path / "x", "--dry-run")
    assert done.code == 0, done.err
    assert not (tmp_path / "x").exists()
    for word in ("parameters", "optimizer", "activations", "tokens/s", "disk:"):
        assert word in done.out


def test_what_does_not_fit_is_refused_before_anything_is_trained(
    data: Path, tmp_path: Path, command: Command
) -> None:
    large = ["train.model={family: bert, size: tiny, dim: 65536, n_layers: 96, n_heads: 64, ffn_dim: 262144}"]
    ask = ("train", "--task", "classify", "--data", data, "--out", tmp_path / "x", "--set", *large)
    for more in ((), ("--dry-run",)):
        done = command(*ask, *more)
        assert done.code == 2
        assert "of memory, and" in done.err
        assert "take a smaller model, or a machine with more memory" in done.err
    assert not (tmp_path / "x").exists()


def test_an_option_that_a_task_cannot_use_is_refused(data: Path, tmp_path: Path, command: Command) -> None:
    done = command("train", "--task", "bag", "--data", data, "--out", tmp_path / "x", "--model", tmp_path)
    assert done.code == 2
    assert "--task bag takes no --model\n  fix: leave --model out" in done.err


def test_nothing_to_predict_is_an_error(tmp_path: Path, command: Command) -> None:
    assert "there is nothing to ask about" in command("predict", tmp_path).err


def test_cross_validation_trains_every_fold_and_says_how_scores_vary(
    data: Path, tmp_path: Path, command: Command
) -> None:
    ask = ("train", "--task", "classify", "--data", data, "--out", tmp_path / "x", *FAST)
    done = command(*ask, "--folds", "3", "--json")
    assert done.code == 0, done.err
    found = last(done.out)
    assert len(found["folds"]) == 3
    assert found["accuracy"]["mean"] == pytest.approx(sum(f["accuracy"] for f in found["folds"]) / 3)
    assert (tmp_path / "x" / "fold-3" / "model.safetensors").is_file()
    again = command(*ask, "--folds", "3")
    assert "deviation" in again.out
    assert again.err.count("reused") == 3
    wrong = command("train", "--task", "bag", "--data", data, "--out", tmp_path / "y", "--folds", "3")
    assert wrong.code == 2
    assert "--task bag takes no --folds" in wrong.err


def test_a_chat_model_needs_a_model_to_start_from(data: Path, tmp_path: Path, command: Command) -> None:
    found = command("train", "--task", "chat", "--data", data, "--out", tmp_path / "out")
    assert found.code == 2
    assert "--task chat tunes a model, and none is given" in found.err


def test_the_method_is_a_setting_of_the_tasks_that_tune(data: Path, tmp_path: Path, command: Command) -> None:
    asked = ("--data", data, "--out", tmp_path / "out", "--method", "lora", "--dry-run")
    assert "method" in command("train", "--task", "bag", *asked).err
    (tmp_path / "model").mkdir()
    found = command("train", "--task", "chat", "--model", tmp_path / "model", *asked)
    assert "method: lora" in found.out
    assert "model has no config.json" in found.err  # the settings are understood; the folder is empty
