"""The gate says yes to a model that learnt its task, no to one that did not, and no to one that forgot."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from luban.cli.main import build_app
from luban.data.messages import read_conversations
from luban.errors import ConfigError, GateError
from luban.files import write_jsonl
from luban.log import Log
from luban.models.load import save_model
from luban.tasks.chat import chat
from luban.tasks.gate import GENERAL, gate
from luban.tokenizer.chat_formats import with_format
from tests.cli.conftest import Command
from tests.generate.test_speaker import model_for
from tests.tasks.test_chat import SETTINGS, talks
from tests.tokenizer.test_chat import speaking


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A model, the same tuned on talks, and the talks."""
    root = tmp_path_factory.mktemp("gate")
    tokenizer = with_format(speaking(None), "chatml")
    save_model(model_for(tokenizer), root / "base")
    tokenizer.save(root / "base")
    write_jsonl(root / "talks.jsonl", talks())
    (root / "tuned").mkdir()
    settings = dataclasses.replace(SETTINGS, method="full", steps=8)
    chat(settings, {"model": root / "base", "data": root / "talks.jsonl"}, root / "tuned", Log(quiet=True))
    return root / "base", root / "tuned", root / "talks.jsonl"


def test_what_ships_is_forty_short_questions_in_two_languages() -> None:
    found = read_conversations(GENERAL)
    assert (len(found.kept), found.rejects) == (40, [])
    assert sum(not c.messages[0]["content"].isascii() for c in found.kept) == 20
    assert len({c.messages[0]["content"] for c in found.kept}) == 40


@pytest.mark.slow
def test_a_task_that_got_better_passes_and_the_other_way_round_does_not(
    folders: tuple[Path, Path, Path], command: Command, tmp_path: Path
) -> None:
    base, tuned, data = folders
    write_jsonl(tmp_path / "general.jsonl", talks(20))
    asked: tuple[Any, ...] = ("--task", data, "--general", tmp_path / "general.jsonl", "--json")
    passed = command("gate", base, tuned, *asked)
    assert passed.code == 0, passed.err
    found = json.loads(passed.out)
    assert (found["passed"], found["task"]["verdict"], found["task"]["decided_by"]) == (
        True,
        "better",
        "loss",
    )
    assert found["general"]["differences" if "differences" in found["general"] else "metrics"]
    assert found["examples"][0].keys() == {"question", "before", "after"}
    refused = command("gate", tuned, base, *asked[:-1])
    assert refused.code == 3
    assert "the task is worse; general answers lost" in refused.err
    assert "not passed" in refused.out


@pytest.mark.slow
def test_a_model_that_lost_more_than_the_margin_does_not_pass(
    folders: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    base, tuned, data = folders
    other = [
        {"messages": [{"role": "user", "content": "说"}, {"role": "assistant", "content": "ZZZ" * (i + 1)}]}
        for i in range(9)
    ]
    write_jsonl(tmp_path / "other.jsonl", other)
    found = gate((base, tuned), data, tmp_path / "other.jsonl", 0.05, tmp_path / "out")
    assert found.improved
    assert found.kept == (found.lost <= 0.05)
    assert dataclasses.replace(found, margin=found.lost + 0.01).passed
    assert not dataclasses.replace(found, margin=found.lost - 0.01).passed
    assert (tmp_path / "out" / "task" / "tuned" / "predictions.jsonl").is_file()
    with pytest.raises(ConfigError, match="margin"):
        gate((base, tuned), data, None, -1, tmp_path / "out")


def test_the_verb_is_there_and_refuses_as_gates_do() -> None:
    assert GateError.exit_code == 3
    assert build_app(("gate",))
