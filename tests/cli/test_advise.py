"""`luban advise`, from files to advice whose command runs."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from luban.files import write_json, write_jsonl
from luban.plan import machine
from luban.plan.rules import FEW_ROWS

if TYPE_CHECKING:
    from tests.cli.conftest import Command

pytest.importorskip("numpy", reason="rows are split with it")


@pytest.fixture(autouse=True)
def fixed_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "matmul_rate", lambda: 1e11)
    monkeypatch.setattr(machine, "read_memory", lambda: None)


def table(folder: Path, n: int, text: str = "第{i}部电影很好看，演员也不错") -> Path:
    path = folder / "rows.jsonl"
    split = ("train", "validation", "test")
    rows = [
        {"text": text.format(i=i), "label": "好" if i % 3 else "差", "split": split[max(0, i - n + 3)]}
        for i in range(n)
    ]
    write_jsonl(path, rows)
    return path


def told(command: Command, *arguments: object) -> dict[str, Any]:
    answer = command("advise", *arguments, "--json")
    assert answer.code == 0, answer.err
    assert answer.out.count("\n") == 1
    return json.loads(answer.out)


def test_rows_are_measured_and_tiny_ones_get_the_baseline(tmp_path: Path, command: Command) -> None:
    told_of = told(command, "--task", "classify", "--data", table(tmp_path, 22))
    assert (told_of["family"], told_of["languages"]) == ("bag", ["zh"])
    facts = told_of["facts"]
    assert (facts["rows"], facts["classes"], facts["smallest"], facts["chinese"]) == (20, 2, 7, 1.0)
    assert told_of["reasons"][0]["source"].startswith("experiments/LOG.md")


@pytest.mark.parametrize("n", [30, FEW_ROWS + 3])
@pytest.mark.parametrize("languages", ["zh", "en"])
def test_the_advised_command_is_one_that_train_understands(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch, n: int, languages: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("luban.cli.stage.forecast", lambda plan, log: None)  # it times steps of the model
    told_of = told(command, "--task", "classify", "--data", table(tmp_path, n), "--languages", languages)
    if told_of["first"]:
        pytest.skip(f"the advised model is not installed: {told_of['first'][0]}")
    assert told_of["method"] == ("fine-tune" if n > FEW_ROWS and languages == "en" else "bag of words")
    done = command(*shlex.split(told_of["command"])[1:], "--dry-run")
    assert done.code == 0, done.err


def test_an_advised_pretraining_is_understood_too(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my texts.txt").write_text("a line of text\n" * 500, encoding="utf-8")
    told_of = told(command, "--task", "pretrain", "--data", "my texts.txt")
    assert told_of["facts"]["tokens"] == 2500
    assert shlex.split(told_of["first"][0])[:4] == ["luban", "data", "clean", "my texts.txt"]
    (tmp_path / "runs" / "prepared" / "shard").mkdir(parents=True)
    done = command(*shlex.split(told_of["command"])[1:], "--dry-run")
    assert "family: llama" in done.out
    assert "has no token shards" in done.err  # the settings are understood; the folder is empty


def test_shards_are_taken_as_they_are(tmp_path: Path, command: Command) -> None:
    manifest = {
        "stage": "shard", "name": "shard", "key": "k", "settings": {}, "inputs": {}, "files": {},
        "facts": {"splits": {"train": {"tokens": 30_000_000}}}, "seconds": 1.0, "started": "2026-01-01",
    }  # fmt: skip
    write_json(tmp_path / "manifest.json", manifest)
    told_of = told(command, "--task", "pretrain", "--data", tmp_path, "--minutes", "1e7")
    assert told_of["first"] == []
    assert (told_of["size"], told_of["changes"]) == ("tiny", {})
    assert str(tmp_path) in told_of["command"]


def test_a_model_folder_of_ones_own_is_started_from(tmp_path: Path, command: Command) -> None:
    from luban.models.config import HeadConfig
    from luban.models.families import FAMILIES
    from luban.models.folder import write_config

    config = FAMILIES["bert"].config("tiny", vocab_size=500, head=HeadConfig(kind="none"))
    (tmp_path / "mine").mkdir()
    write_json(tmp_path / "mine" / "config.json", write_config(config)[0])
    rows = table(tmp_path, FEW_ROWS + 3)
    told_of = told(command, "--task", "classify", "--data", rows, "--model", tmp_path / "mine")
    assert (told_of["family"], told_of["start"], told_of["method"]) == ("bert", "mine", "fine-tune")


def test_people_read_a_table_and_reasons_with_sources(tmp_path: Path, command: Command) -> None:
    answer = command("advise", "--task", "classify", "--data", table(tmp_path, 22))
    assert answer.code == 0
    for part in (
        "20 rows; 2 classes",
        "bag of words",
        "why\n- ",
        "[experiments/LOG.md",
        "run\nluban train --task bag",
    ):
        assert part in answer.out
    missing = command("advise", "--task", "speech").out
    assert "not in Luban yet" in missing
    assert "until then\n" in missing
    assert "luban train" not in missing


def test_named_columns_reach_the_command(tmp_path: Path, command: Command) -> None:
    parts = ("train", "train", "dev", "test")
    rows = (f"第{i}部电影很好,{'好' if i % 3 else '差'},{parts[i % 4]}" for i in range(60))
    lines = ["句子原文,心情,划分", *rows]
    (tmp_path / "rows.csv").write_text("\n".join(lines), encoding="utf-8")
    data = ("--task", "classify", "--data", tmp_path / "rows.csv")
    refused = command("advise", *data)
    assert refused.code == 2
    assert "--set train.columns." in refused.err
    sets = ("--set", "train.columns.text=句子原文", "--set", "train.columns.label=心情")
    assert "train.columns.label=心情" in told(command, *data, *sets)["command"]


@pytest.mark.parametrize(
    ("arguments", "problem", "fix"),
    [
        (["--task", "classify", "--data", "nowhere.csv"], "nowhere.csv does not exist", "check the path"),
        (["--task", "clasify"], "--task clasify", "did you mean classify?"),
        (["--task", "classify"], "needs --data", "add --data FILE"),
        (["--task", "classify", "--data", "rows.jsonl", "--languages", "cn"], "cn is no", "did you mean zh?"),
        (
            ["--task", "classify", "--data", "rows.jsonl", "--set", "train.lr=1"],
            "train.lr=1 is no column",
            "",
        ),
        (["--task", "classify", "--data", "one.csv"], "one label only", "at least two labels"),
        (["--task", "classify", "--data", "bare.csv"], "no column known to hold the label", "--set"),
        (["--task", "pretrain", "--data", "empty"], "empty holds no text", "name a file"),
    ],
)
def test_bad_input_is_refused_with_a_fix(
    tmp_path: Path,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    problem: str,
    fix: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    table(tmp_path, 23)
    (tmp_path / "empty").mkdir()
    texts = [f"text number {i} about something else" for i in range(40)]
    (tmp_path / "one.csv").write_text("\n".join(["text,label", *(f"{t},x" for t in texts)]))
    (tmp_path / "bare.csv").write_text("\n".join(["text", *texts]))
    answer = command("advise", *arguments)
    assert answer.code == 2
    assert problem in answer.err
    assert fix in answer.err
