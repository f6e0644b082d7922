"""`luban runs`: what was trained, finished or not, and how two runs differ."""

import json
import math
import random

import pytest

from luban.errors import DiskError


def rows(n, floor, *, lr=1e-3, seed=0):
    draw = random.Random(seed)
    for i in range(1, n + 1):
        loss = floor + 2 * math.exp(-i / 40) + draw.gauss(0, 0.1)
        yield {"step": i, "loss": loss, "lr": lr, "grad_norm": 0.5, "tokens_per_second": 1000.0 + i % 3}
        if i % 20 == 0:
            yield {"step": i, "validation": {"accuracy": 0.9 - floor / 4 - math.exp(-i / 40) / 3, "loss": floor + 0.2 + 2 * math.exp(-i / 40)}}  # fmt: skip


def write_run(folder, use="classify", *, done=True, n=200, floor=0.3, **settings):
    made = folder if done else folder.with_name(f"{folder.name}.partial-0123456789ab")
    made.mkdir(parents=True)
    settings = {"steps": 200, "lr": 1e-3, "best_by": "", "parallel": {"shard": 1}, **settings}
    about = {"stage": use, "name": "train", "settings": settings, "inputs": {}, "code": ""}
    (made / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows(n, floor)), "utf-8")
    if not done:
        (made / "unfinished.json").write_text(json.dumps(about), "utf-8")
        return made
    facts = {
        "family": "bert", "counts": {"steps": n}, "best": {"step": n, "accuracy": 0.88 - floor / 4},
        "tokens_per_second": 1234.5, "train_seconds": 90.0, "stopped": "steps",
    }  # fmt: skip
    more = {
        "key": "k",
        "facts": facts,
        "files": {},
        "seconds": 99.0,
        "started": f"2026-03-0{n % 7 + 1}T09:00:00+00:00",
    }
    (made / "manifest.json").write_text(json.dumps(about | more), "utf-8")
    return made


@pytest.fixture
def folder(tmp_path):
    write_run(tmp_path / "runs" / "a")
    write_run(tmp_path / "runs" / "deep" / "b", lr=3e-4, floor=0.8, parallel={"shard": 2})
    write_run(tmp_path / "runs" / "c", done=False, n=40)
    (tmp_path / "runs" / "clean").mkdir()
    (tmp_path / "runs" / "clean" / "manifest.json").write_text(
        json.dumps({"stage": "clean", "name": "clean", "key": "", "settings": {}, "inputs": {}, "facts": {}, "files": {}, "seconds": 1.0, "started": ""})
    )  # fmt: skip
    return tmp_path / "runs"


def test_finished_and_unfinished_runs_are_listed_and_other_stages_are_not(command, folder):
    answer = command("runs", folder)
    assert answer.code == 0
    lines = {line.split()[0]: line for line in answer.out.splitlines()}
    assert set(lines) == {"run", "a", "deep/b", "c"}
    assert "accuracy 0.8050" in lines["a"]
    assert "done" in lines["a"]
    assert "40 of 200" in lines["c"]
    assert "unfinished" in lines["c"]


def test_a_narrow_pipe_cuts_no_name(command, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    name = "a_run_with_a_name_that_says_all_that_was_tried_in_it"
    write_run(tmp_path / name)
    [line] = [line for line in command("runs", tmp_path).out.splitlines() if "accuracy" in line]
    assert line.split()[0] == name
    assert "done" in line
    assert "…" not in line


def test_programs_get_a_line_for_each_run_in_the_order_asked_for(command, folder):
    answer = command("runs", folder, "--sort", "best", "--json")
    told = [json.loads(line) for line in answer.out.splitlines()]
    assert [t["name"] for t in told] == ["a", "c", "b"]
    assert told[1] | {"done": False, "step": 40, "steps": 200} == told[1]
    assert told[0]["tokens_per_second"] == 1234.5


def test_an_unknown_order_names_the_nearest_one(command, folder):
    answer = command("runs", folder, "--sort", "bets")
    assert answer.code == 2
    assert "best" in answer.err


def test_only_the_settings_that_differ_are_compared(command, folder):
    answer = command("runs", "compare", folder / "a", folder / "deep" / "b", "--json")
    told = json.loads(answer.out)
    assert told["settings"] == {"lr": ["0.001", "0.0003"], "parallel.shard": ["1", "2"]}


def test_the_page_has_both_curves_and_asks_no_network(command, folder):
    answer = command("runs", "compare", folder / "a", folder / "c")
    page = folder / "compare-a-c.html"
    assert str(page) in answer.out
    text = page.read_text("utf-8")
    for name in ("a, train", "a, validation", "c, train", "c, validation"):
        assert f'data-name="{name}"' in text
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "https://" not in text
    assert "40 of 200" in text


def test_a_folder_without_a_run_says_what_could_be_meant(command, folder):
    answer = command("runs", "compare", folder, folder / "a")
    assert answer.code == 2
    assert str(folder / "a") in answer.err
    assert command("runs", folder / "none").code == 2


def test_a_broken_unfinished_run_is_left_out(command, folder):
    (folder / "c.partial-0123456789ab" / "unfinished.json").write_text("{", "utf-8")
    assert "40 of 200" not in command("runs", folder).out


@pytest.mark.parametrize("out", ["/proc/x.html", "/proc/x/y.html"])
def test_a_page_that_cannot_be_written_is_said(command, folder, out):
    answer = command("runs", "compare", folder / "a", folder / "c", "--out", out)
    assert answer.code == DiskError.exit_code
    assert f"cannot write {out}" in answer.err
    assert "fix: choose an --out" in answer.err
