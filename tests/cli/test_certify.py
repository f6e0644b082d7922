"""`luban certify` and `luban train --find-lr` from the command line."""

import json
from pathlib import Path

import pytest

import luban.train.saving
from luban.errors import DiskError
from luban.files import read_json, write_jsonl
from tests.cli.conftest import Command
from tests.tasks.test_classify import rows

RECIPE = """\
recipe: toy
out: {out}
stages:
  one:
    use: classify
    from: {{data: {data}}}
    model: {{family: recurrent, dim: 16}}
    vocab_size: 300
    tokens_per_batch: 256
    steps: 4
    threads: 1
    device: cpu
"""
SETTINGS = (
    "--set", "train.model={family: recurrent, dim: 16}", "--set", "train.vocab_size=300", "--set",
    "train.tokens_per_batch=256", "--set", "train.steps=4", "--set", "train.threads=1",
    "--set", "train.device=cpu",
)  # fmt: skip


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_jsonl(tmp_path / "rows.jsonl", rows())
    return tmp_path / "rows.jsonl"


@pytest.fixture
def recipe(tmp_path: Path, data: Path) -> Path:
    path = tmp_path / "toy.yaml"
    path.write_text(RECIPE.format(out=tmp_path / "runs", data=data))
    return path


def test_a_recipe_is_certified_beside_where_its_run_will_be(command: Command, recipe: Path, tmp_path: Path):
    answer = command("certify", recipe)
    assert answer.code == 0
    assert "all hold" in answer.out
    for name in ("packed", "accumulated", "sampled", "resumed", "exported"):
        assert name in answer.out
    made = read_json(tmp_path / "runs" / "one.certificate.json")
    assert made["holds"]
    assert made["name"] == "one"


def test_a_refuted_run_is_refused_and_goes_on_by_name(
    command: Command, data: Path, tmp_path: Path, monkeypatch
):
    out = tmp_path / "out"
    line = ("--task", "classify", "--data", data, *SETTINGS)
    with monkeypatch.context() as planted:
        planted.setattr(luban.train.saving, "load_optimizer", lambda *args: None)
        answer = command("certify", *line, "--json", "--out", tmp_path / "c.json")
    assert answer.code == 3
    last = json.loads(answer.out.splitlines()[-1])
    assert last["holds"] is False
    assert read_json(tmp_path / "c.json") == last["certificates"][0]
    for more in (("--dry-run",), ()):
        refused = command("train", *line, "--out", out, *more)
        assert refused.code == 3
        assert "train is not resumed, as `luban certify` found" in refused.err
        assert "--set train.unproven=[resumed]" in refused.err
    assert command("train", *line, "--out", out, "--set", "train.unproven=[resumed]").code == 0
    assert not read_json(out / "certificate.json")["holds"]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ((), "nothing to certify"),
        (("quickstart", "--task", "classify"), "both a recipe"),
        (("quickstart", "--data", "x"), "a recipe takes no --data"),
        (("--task", "classify"), "without --data"),
        (("train-gpt2", "--stage", "clean"), "has no training stage clean; those that train: gpt2"),
    ],
)
def test_what_cannot_be_certified_is_said(command: Command, line, problem):
    answer = command("certify", *line)
    assert answer.code == 2
    assert problem in answer.err
    assert "fix:" in answer.err


def test_a_task_that_does_not_descend_has_nothing_to_certify(command: Command, data: Path):
    answer = command("certify", "--task", "bag", "--data", data)
    assert answer.code == 2
    assert "nothing to certify: no stage of train trains by gradients (bag)" in answer.err
    assert "fix: certify what does: chat, classify" in answer.err


@pytest.mark.parametrize(("place", "fix"), [("home", "set LUBAN_HOME"), ("out", "choose an --out")])
@pytest.mark.parametrize("folder", ["a file", "no room"])
def test_a_certificate_that_cannot_be_kept_is_refused_before_the_proofs(
    command: Command, data: Path, tmp_path: Path, monkeypatch, place, fix, folder
):
    where = data if folder == "a file" else Path("/proc/luban")
    if place == "home":
        monkeypatch.setenv("LUBAN_HOME", str(where))
    more = ("--out", where / "c.json") if place == "out" else ()
    answer = command("certify", "--task", "classify", "--data", data, *SETTINGS, *more)
    assert answer.code == DiskError.exit_code
    assert f"cannot write {where}" in answer.err
    assert f"fix: {fix}" in answer.err
    assert "packed" not in answer.err


def test_a_certificate_does_not_replace_a_folder(command: Command, data: Path, tmp_path: Path):
    answer = command("certify", "--task", "classify", "--data", data, *SETTINGS, "--out", tmp_path)
    assert f"cannot write {tmp_path}: it is a folder" in answer.err


def test_a_search_whose_chart_cannot_be_written_is_refused_before_it(command: Command, data: Path):
    line = ("train", "--task", "classify", "--data", data, *SETTINGS, "--find-lr")
    for out in ("/proc/x", data / "x"):
        answer = command(*line, "--out", out)
        assert answer.code == DiskError.exit_code
        assert f"cannot write {out}.lr.svg" in answer.err
        assert "fix: choose an --out" in answer.err


def test_a_learning_rate_is_found_and_nothing_trained(command: Command, data: Path, tmp_path: Path):
    out = tmp_path / "out"
    answer = command(
        "train", "--task", "classify", "--data", data, "--out", out, *SETTINGS, "--find-lr", "--json"
    )
    assert answer.code == 0
    last = json.loads(answer.out.splitlines()[-1])
    assert last["set"] == f"--set train.lr={last['suggestion']:g}"
    assert (tmp_path / "out.lr.svg").read_text().startswith("<svg")
    kept = [json.loads(line) for line in (tmp_path / "out.lr.jsonl").read_text().splitlines()]
    assert {"lr", "loss", "smoothed"} == set(kept[0])
    assert not out.exists()


def test_a_task_without_a_learning_rate_says_so(command: Command, data: Path, tmp_path: Path):
    answer = command("train", "--task", "bag", "--data", data, "--out", tmp_path / "out", "--find-lr")
    assert answer.code == 2
    assert "--task bag has no learning rate" in answer.err
