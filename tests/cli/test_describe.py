import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from luban.data.documents import write_documents

Command = Callable[..., Any]


def folder_of(path: Path, **changed: str) -> Path:
    path.mkdir()
    texts = {"a": "The keeper wrote the weather down.", "b": "灯塔看守人把天气写进了账本。"} | changed
    rows = [
        {"id": k, "text": t, "source": f"{k}.txt", "licence": "MIT", "language": "zh" if k == "b" else "en"}
        for k, t in texts.items()
    ]
    write_documents(path, rows)
    return path


def test_a_folder_is_described_on_a_terminal_as_json_and_on_a_page(tmp_path: Path, command: Command) -> None:
    folder, page = folder_of(tmp_path / "clean"), tmp_path / "page.html"
    answer = command("data", "describe", folder, "--html", page)
    assert answer.code == 0, answer.err
    assert "lengths in characters" in answer.out
    assert "zh" in answer.out
    assert "灯塔看守人" in page.read_text("utf-8")
    facts = json.loads(command("data", "describe", folder, "--json", "--samples", "0").out)
    assert facts["census"]["documents"] == 2
    assert facts["census"]["samples"] == {}


def test_a_difference_is_shown_and_fails_as_a_gate(tmp_path: Path, command: Command) -> None:
    a, b = folder_of(tmp_path / "a"), folder_of(tmp_path / "b", b="灯塔看守人把天气记进了账本。")
    answer = command("data", "diff", a, b)
    assert answer.code == 0
    assert "[-写-]{+记+}" in answer.out
    answer = command("data", "diff", a, b, "--exit-code", "--json")
    assert answer.code == 3
    found = json.loads(answer.out.splitlines()[-1])
    assert found["counts"] == {"same": 1, "text": 1}
    assert not found["same"]
    assert "differ: text 1" in answer.err


def test_a_folder_is_the_same_as_itself(tmp_path: Path, command: Command) -> None:
    a = folder_of(tmp_path / "a")
    answer = command("data", "diff", a, a, "--exit-code")
    assert answer.code == 0
    assert "the same 2 documents" in answer.out


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_what_is_no_documents_folder_is_refused(tmp_path: Path, command: Command, name: str) -> None:
    (tmp_path / "empty").mkdir()
    answer = command("data", "diff", folder_of(tmp_path / "a"), tmp_path / name)
    assert answer.code == 2
    assert "is not a documents folder" in answer.err
