"""What holds of every task: they are found by their files, and what their records name is there."""

import dataclasses
import importlib
import json
import subprocess
import sys

import pytest

from luban.errors import CheckpointError, ConfigError
from luban.files import write_json
from luban.stages import STAGES
from luban.tasks.task import Task, all_tasks, find_task, task_of

TASKS = all_tasks()
NAMED = [
    (task.name, part.name)
    for task in TASKS.values()
    for part in dataclasses.fields(Task)
    if part.name in ("settings", "prepare", "train", "close", "open", "score") and getattr(task, part.name)
]


@pytest.mark.parametrize(("name", "part"), NAMED)
def test_what_a_record_names_exists(name, part):
    assert callable(TASKS[name].load(part))


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_the_example_is_a_row_of_the_task_and_plain_data(task):
    assert set(task.example) <= set(task.rows)
    assert json.loads(json.dumps(task.example)) == task.example
    assert task.summary
    assert not task.summary.endswith(".")


@pytest.mark.parametrize("task", [t for t in TASKS.values() if t.open], ids=lambda t: t.name)
def test_a_task_that_can_be_asked_has_a_route(task):
    assert task.route.startswith("/v1/")


@pytest.mark.parametrize("task", [t for t in TASKS.values() if t.is_trained], ids=lambda t: t.name)
def test_a_task_that_is_trained_is_a_stage(task):
    stage = STAGES[task.name]
    assert (*stage.inputs, *stage.optional) == (task.data, *task.needs, *task.takes)
    assert stage.trains == bool(task.prepare)
    assert task.load("settings")() == stage.settings_class()()


def test_the_records_and_the_settings_do_not_wait_for_torch():
    program = (
        "import sys; from luban.stages import STAGES; [s.settings_class() for s in STAGES.values()]; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 0


def test_an_unknown_task_suggests_the_nearest():
    with pytest.raises(ConfigError, match=r"there is no task clasify\n  fix: .*classify"):
        find_task("clasify")


def test_a_file_and_its_task_have_one_name(monkeypatch):
    module = importlib.import_module("luban.tasks.kinds.bag")
    monkeypatch.setattr(module, "TASK", dataclasses.replace(module.TASK, name="sack"))
    with pytest.raises(ConfigError, match="kinds.bag holds the task sack"):
        all_tasks.__wrapped__()


def test_a_folder_is_for_what_it_was_trained_for_or_for_what_its_head_can_do(tmp_path):
    with pytest.raises(CheckpointError, match="holds no config.json"):
        task_of(tmp_path)
    write_json(tmp_path / "config.json", {"model_type": "luban-bag"})
    assert task_of(tmp_path).name == "bag"
