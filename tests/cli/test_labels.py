"""`luban data convert` and `luban data label` from the command line."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from luban.data.convert.formats import FORMATS
from luban.data.documents import read_documents, write_documents
from luban.files import read_jsonl, write_jsonl
from luban.places import BUNDLED

Command = Callable[..., Any]
TALK = {"messages": [{"role": "user", "content": "几点?"}, {"role": "assistant", "content": "三点。"}]}


def test_the_table_of_formats_says_what_each_loses(command: Command) -> None:
    code, out, _ = command("data", "convert", "--formats", "--json")
    assert code == 0
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["format"] for row in rows] == list(FORMATS)
    assert all(row["lost"] for row in rows)
    assert "label-studio" in command("data", "convert", "--formats").out


def test_a_file_becomes_a_file_and_its_rejects_lie_beside_it(tmp_path: Path, command: Command) -> None:
    write_jsonl(tmp_path / "a.jsonl", [TALK, {"messages": []}])
    out = tmp_path / "b.json"
    code, said, _ = command("data", "convert", tmp_path / "a.jsonl", "--to", "sharegpt", "--out", out)
    assert code == 0
    assert "rows_in 2  rows_out 1  rows_rejected 1" in said
    assert "openai in jsonl → sharegpt in json" in said
    assert json.loads(out.read_text("utf-8"))[0]["conversations"][1] == {"from": "gpt", "value": "三点。"}
    (reject,) = read_jsonl(tmp_path / "b.rejects.jsonl")
    assert reject["line"] == 2


def test_rows_go_into_a_folder_with_a_manifest(tmp_path: Path, command: Command) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"text": "one"}, {"text": "二"}, {"text": None}])
    out = tmp_path / "docs"
    line = ("data", "convert", tmp_path / "a.jsonl", "--to", "documents", "--out", out, "--json")
    code, said, _ = command(*line)
    assert code == 0
    assert json.loads(said.splitlines()[-1])["counts"] == {"rows_in": 3, "rows_out": 2, "rows_rejected": 1}
    assert [row["text"] for row in read_documents(out)] == ["one", "二"]
    assert list(read_jsonl(out / "rejects.jsonl"))[0]["reason"] == "no text"
    assert json.loads((out / "manifest.json").read_text())["stage"] == "convert"


def test_labels_for_each_input_make_rows_to_learn_from(tmp_path: Path, command: Command) -> None:
    for name in ("good", "bad"):
        write_jsonl(tmp_path / f"{name}.jsonl", [{"text": f"{name} {i}"} for i in range(3)])
    inputs = (tmp_path / "good.jsonl", tmp_path / "bad.jsonl")
    out = tmp_path / "rows.jsonl"
    assert command("data", "convert", *inputs, "--label", "good", "--label", "bad", "--out", out).code == 0
    assert [row["label"] for row in read_jsonl(out)] == ["good"] * 3 + ["bad"] * 3


def test_mistakes_on_the_line_are_errors_with_a_fix(tmp_path: Path, command: Command) -> None:
    code, _, err = command("data", "convert", "--to", "json")
    assert (code, "convert has no input" in err) == (2, True)
    write_jsonl(tmp_path / "a.jsonl", [TALK])
    code, _, err = command(
        "data", "convert", tmp_path / "a.jsonl", "--to", "sharegtp", "--out", tmp_path / "b.json"
    )
    assert (code, "did you mean sharegpt?" in err) == (2, True)
    code, _, err = command("data", "convert", tmp_path / "no.jsonl", "--out", tmp_path / "b.json")
    assert (code, "no.jsonl does not exist" in err) == (2, True)


def test_documents_are_labelled_by_rules_and_the_report_is_printed(tmp_path: Path, command: Command) -> None:
    texts = ("a casino", "来博彩", "fine")
    folder = tmp_path / "docs"
    folder.mkdir()
    write_documents(
        folder,
        ({"id": t, "text": t, "source": "", "licence": "", "language": "und", "time": ""} for t in texts),
    )
    rules = tmp_path / "rules.yaml"
    rules.write_text("rules:\n- {label: bad, words: [casino, 博彩]}\n- {label: good, none: [casino, 博彩]}\n")
    out = tmp_path / "out"
    code, said, _ = command(
        "data", "label", folder, "--rules", rules, "--out", out, "--set", "label.keep=[good]"
    )
    assert code == 0
    assert "coverage" in said
    assert "66.7 %" in said
    assert [row["text"] for row in read_documents(out)] == ["fine"]
    assert [row["id"] for row in read_jsonl(out / "dropped.jsonl")] == list(texts[:2])


@pytest.mark.slow
def test_the_bundled_recipe_filters_a_crawl_in_both_languages(tmp_path: Path, command: Command) -> None:
    chance = random.Random(1)
    words = {
        "good": "rivers change slowly because rain and rock resist each other 河流因为雨水而缓慢改变".split(),
        "bad": "buy cheap now click here best price free offer winner 点击购买优惠免费最低价中奖".split(),
    }

    def write(name: str, *kinds: str) -> None:
        rows = [{"text": f"{kind}! " + " ".join(chance.choices(words[kind], k=30))} for kind in kinds]
        write_jsonl(tmp_path / f"{name}.jsonl", rows)

    write("good", *["good"] * 40)
    write("bad", *["bad"] * 40)
    write("crawl", *["good", "bad"] * 5)
    text = (BUNDLED / "recipes" / "quality-filter.yaml").read_text("utf-8")
    for given, ours in (
        ('"bundled:quickstart/raw"', "good.jsonl"),
        ('"sample-of-the-crawl/"', "bad.jsonl"),
        ('"crawl/"', "crawl.jsonl"),
        ("runs/quality-filter", "out"),
    ):
        assert text.count(given) == 1
        text = text.replace(given, str(tmp_path / ours))
    (tmp_path / "r.yaml").write_text(text, encoding="utf-8")
    code, _, err = command("run", tmp_path / "r.yaml")
    assert code == 0, err
    kept = list(read_documents(tmp_path / "out" / "kept"))
    assert [row["text"][:5] for row in kept] == ["good!"] * 5
    assert len(list(read_jsonl(tmp_path / "out" / "kept" / "dropped.jsonl"))) == 5
