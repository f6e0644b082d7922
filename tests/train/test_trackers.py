"""Rows reach the trackers that are named; none is loaded or asked for that is not."""

import sys
import types

import pytest

from luban.errors import ConfigError
from luban.log import Log
from luban.train.trackers import Tracked, curve_values, open_trackers
from tests.train.toy_run import run, settings

QUIET = Log(quiet=True)
ROWS = (
    {"step": 1, "loss": 2.0, "n_targets": 5},
    {"step": 1, "sample": {"prompt": "今", "text": "天"}},
    {"step": 1, "validation": {"loss": 2.5}},
)


class Module(types.ModuleType):
    """Stands for trackio or wandb; keeps what it is told."""

    def __init__(self, name):
        super().__init__(name)
        self.asked, self.logged, self.finished = {}, [], 0

    def Settings(self, **settings):
        return settings

    def init(self, **asked):
        print("a banner")
        self.asked = asked
        return self

    def log(self, values, step):
        self.logged.append((step, values))

    def finish(self):
        print("a farewell")
        self.finished += 1


def draw(tmp_path, *names, log=QUIET):
    run = Tracked(tmp_path / "x.partial-0123abcd", settings(trackers=names))
    run.out.mkdir()
    opened = open_trackers(run, log)
    for tracker in opened:
        for row in ROWS:
            tracker.write(row)
        tracker.close()
    return opened


def test_what_can_be_drawn_of_a_row_has_a_name_by_its_kind():
    assert curve_values(ROWS[0]) == {"train/loss": 2.0}
    assert curve_values(ROWS[1]) == {}
    assert curve_values(ROWS[2]) == {"validation/loss": 2.5}


@pytest.mark.parametrize("name", ["trackio", "wandb"])
def test_a_run_is_told_under_its_folders_name_and_stdout_stays_clean(tmp_path, monkeypatch, capsys, name):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    module = Module(name)
    monkeypatch.setitem(sys.modules, name, module)
    draw(tmp_path, name)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    assert module.asked["name"] == "x"
    assert module.asked["config"]["lr"] == 0.02
    assert module.logged == [(1, {"train/loss": 2.0}), (1, {"validation/loss": 2.5})]
    assert module.finished == 1
    assert capsys.readouterr().out == ""


def test_wandb_stays_offline_unless_its_own_variable_asks(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    modes = []
    for said in (None, "online"):
        monkeypatch.setenv("WANDB_MODE", said) if said else monkeypatch.delenv("WANDB_MODE", raising=False)
        module = Module("wandb")
        monkeypatch.setitem(sys.modules, "wandb", module)
        (tmp_path / str(said)).mkdir()
        draw(tmp_path / str(said), "wandb")
        modes.append(module.asked["mode"])
        assert module.asked["dir"] == str(tmp_path / str(said))  # beside the run, which is renamed when done
    monkeypatch.delenv("WANDB_MODE")
    assert modes == ["offline", "online"]


@pytest.mark.parametrize("name", ["trackio", "wandb"])
def test_a_missing_package_is_an_error_before_a_step_is_taken(tmp_path, monkeypatch, name):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError) as error:
        run(tmp_path, trackers=(name,))
    assert f"pip install {name}" in error.value.fix
    assert not (tmp_path / "metrics.jsonl").exists() or not (tmp_path / "metrics.jsonl").read_text("utf-8")


def test_curves_go_to_tensorboard(tmp_path):
    pytest.importorskip("tensorboardX", reason="tensorboardX is not installed")
    draw(tmp_path, "tensorboard")
    (events,) = tmp_path.glob("*/events.*")
    content = events.read_bytes()
    assert b"train/loss" in content
    assert b"validation/loss" in content
    assert b"n_targets" not in content


def test_without_tensorboard_one_line_says_how_to_get_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    assert draw(tmp_path, "tensorboard", log=Log()) == []
    assert "pip install 'luban[track]'" in capsys.readouterr().err


def test_no_tracker_is_loaded_that_is_not_named(tmp_path, monkeypatch):
    for name in ("trackio", "wandb", "tensorboardX"):
        monkeypatch.setitem(sys.modules, name, None)
    assert draw(tmp_path) == []
