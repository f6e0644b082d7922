import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]


def test_files_are_collected_and_the_hub_is_refused_offline(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUBAN_HOME", str(tmp_path / "home"))
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "a.txt").write_text("一段文字。")
    (raw / "b.jsonl").write_text('{"text": "a text"}\n{"text": null}\n')
    out = tmp_path / "out"
    code, text, _ = command("data", "collect", raw, "--out", out, "--json", "--set=collect.workers=1")
    assert code == 0
    assert json.loads(text.splitlines()[-1])["counts"]["documents_kept"] == 2
    assert json.loads((out / "rejects.jsonl").read_text()) == {
        "file": "b.jsonl",
        "line": 2,
        "reason": "the text is null",
    }
    code, _, errors = command("data", "collect", "hub:nobody/nothing", "--out", out, "--offline")
    assert code == 2
    assert "fetching is switched off" in errors
