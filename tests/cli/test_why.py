from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from luban.stages import STAGES, Stage

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Command, Graph


@pytest.fixture
def chain(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> Graph:
    """The two toy stages, run, with one setting changed."""
    assert graph.call("run", graph.recipe, "--set", "one.word=changed").code == 0
    monkeypatch.setitem(
        STAGES, "toy", Stage("toy", "nowhere:toy", "luban.data.settings:SplitSettings", ("raw",))
    )
    return graph


def test_the_chain_goes_back_to_the_raw_file(chain: Graph, command: Command) -> None:
    answer = command("why", chain.out / "two", "--json")
    rows = [json.loads(line) for line in answer.out.splitlines()]
    assert [(r["depth"], r.get("name")) for r in rows] == [(0, "two"), (1, "one"), (2, None)]
    assert rows[2]["path"] == str(chain.folder / "raw.txt")
    assert rows[1]["settings"]["word"] == "changed"
    assert [r["note"] for r in rows] == ["", "", ""]


def test_the_tree_names_stage_key_time_and_changed_settings(chain: Graph, command: Command) -> None:
    key = json.loads((chain.out / "one" / "manifest.json").read_text())["key"]
    answer = command("why", chain.out / "two")
    assert answer.code == 0
    lines = answer.out.splitlines()
    assert f"toy {key[:8]}" in answer.out
    assert "word = changed" in answer.out
    assert "raw.txt  raw" in answer.out.replace("\n", "")
    assert lines[0].startswith(("/", "out"))


def test_what_has_changed_since_is_said(chain: Graph, command: Command) -> None:
    def notes(stage: str) -> list[str]:
        answer = command("why", chain.out / stage, "--json")
        return [json.loads(line)["note"] for line in answer.out.splitlines()]

    assert notes("two") == ["", "", ""]
    (chain.folder / "raw.txt").write_text("another text")
    assert notes("two") == ["", "", "changed since"]
    (chain.out / "one" / "whole.txt").unlink()
    assert notes("two") == ["", "not whole", "changed since"]
    (chain.folder / "raw.txt").unlink()
    assert notes("one") == ["not whole", "gone"]
    assert "gone" in command("why", chain.out / "one").out


def test_settings_at_their_defaults_are_not_shown(tmp_path: Path, command: Command) -> None:
    (tmp_path / "manifest.json").write_text(
        json.dumps(
            {
                "stage": "split", "name": "split", "key": "k" * 64, "inputs": {}, "facts": {}, "files": {},
                "seconds": 1.5, "started": "2026-01-02T03:04:05+00:00",
                "settings": {"validation": 0.05, "test": 0.2, "seed": 1},
            }
        )
    )  # fmt: skip
    rows = [json.loads(line) for line in command("why", tmp_path, "--json").out.splitlines()]
    assert rows[0]["settings"] == {"test": 0.2}


def test_a_folder_that_no_stage_wrote_is_said_to_be_so(tmp_path: Path, command: Command) -> None:
    assert "not made by Luban" in command("why", tmp_path).out
