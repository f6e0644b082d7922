"""A run's checkpoints hold all it knows, are written while it goes on, and outlive a sulking disk."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from luban import files
from luban.errors import CheckpointError, ConfigError, DiskError
from luban.files import read_json, write_json
from luban.log import Log
from luban.optim.averaging import Average
from luban.optim.build import build_optimizer
from luban.train import checkpoint, saving
from luban.train.engine import train
from luban.train.precision import Precision
from luban.train.saving import RunState, Saver, changed_settings
from luban.train.settings import ParallelSettings
from tests.train.test_run import assert_equal, rows, weights
from tests.train.toy_run import Rows, Toy, course, run, settings

OPTIMIZERS = ("adamw", "adam", "sgd", "adafactor", "muon")


class WithTrunk(Toy):
    """The toy, with its matrix where muon looks for matrices."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = torch.nn.ModuleList([self._modules.pop("layer")])

    @property
    def layer(self) -> torch.nn.Module:
        return self.trunk[0]


class Session:
    """A model in training with its saver; what a run consists of, without the run."""

    def __init__(self, root: Path, optimizer: str = "adamw", decay: float = 0.0, log: Log | None = None):
        self.model, self.settings = WithTrunk(), settings(optimizer=optimizer, ema_decay=decay)
        self.optimizer = build_optimizer(self.model, self.settings)
        self.average = Average(self.model, decay) if decay else None
        self.precision = Precision(torch.float16, torch.device("cpu"), scale=8.0)
        self.root, log = root, log or Log(quiet=True)
        self.saver = Saver(self.model, self.optimizer, self.average, self.precision, root, log)
        self.state = RunState({})

    def step(self, n_steps: int = 1) -> None:
        """Go on for so many steps, in float32; then this is the best so far."""
        plan = course(
            self.model, Rows(), optimizer=self.optimizer, steps=self.state.step + n_steps,
            precision=Precision(torch.float32, torch.device("cpu")),
        )  # fmt: skip
        for step in train(replace(plan, first_step=self.state.step + 1)):
            self.state.step = step.number
            if self.average:
                self.average.update()
        self.state.best = {"step": self.state.step, "loss": 1.0}

    def save(self) -> None:
        self.saver.save_best(self.state)
        self.saver.save(self.state)

    def everything(self) -> dict[str, torch.Tensor]:
        found = {**weights(self.model), **checkpoint.optimizer_tensors(self.model, self.optimizer)}
        found |= {f"mean of {k}": t for k, t in self.average.tensors().items()} if self.average else {}
        return {name: t.clone() for name, t in found.items()}

    def names(self) -> list[str]:
        return sorted(p.name for p in self.root.iterdir())


@pytest.fixture(params=["in place", "copied"])
def where(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Tensors in this machine's memory, or, as far as the saver can tell, in an accelerator's."""
    monkeypatch.setattr(saving, "is_on_host", lambda tensor: request.param == "in place")
    return str(request.param)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_resumed_run_has_every_tensor_and_number_it_had(tmp_path: Path, optimizer: str) -> None:
    before, after = Session(tmp_path, optimizer, 0.9), Session(tmp_path, optimizer, 0.9)
    before.saver.resume(before.settings)
    before.step(3)
    before.precision.scale, before.precision.n_sound = 4.0, 7
    before.state.settings = saving.resolved(before.settings)
    before.state.lr_factor, before.state.n_skipped, before.state.looks_since_drop = 0.25, 2, 1
    before.save()
    before.saver.wait()
    state = after.saver.resume(after.settings)
    assert_equal(after.everything(), before.everything())
    assert state == before.state
    assert (after.precision.scale, after.precision.n_sound) == (4.0, 7)
    before.step(3)
    after.state.step = 3
    after.step(3)
    assert_equal(after.everything(), before.everything())


class Slow:
    """Holds every checkpoint back until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.gate, self.plain = threading.Event(), checkpoint.Draft.publish
        monkeypatch.setattr(checkpoint.Draft, "publish", lambda draft: self.publish(draft))

    def publish(self, draft: checkpoint.Draft) -> None:
        assert self.gate.wait(10)
        self.plain(draft)


def test_what_is_written_is_the_step_that_was_asked_for_though_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    slow, session = Slow(monkeypatch), Session(tmp_path, decay=0.9)
    session.step(3)
    asked, best = session.everything(), weights(session.model)
    session.save()
    session.step(3)
    assert not list(tmp_path.glob("step-*"))
    assert session.saver.saved_step == 0
    slow.gate.set()
    session.saver.wait()
    assert session.saver.saved_step == 3
    other = Session(tmp_path, decay=0.9)
    other.state.settings = session.state.settings
    write_settings(tmp_path, other)
    other.saver.resume(other.settings)
    assert_equal(other.everything(), asked)
    checkpoint.load_weights(checkpoint.best_folder(tmp_path, 3), other.model)
    assert_equal(weights(other.model), best)


def write_settings(root: Path, session: Session) -> None:
    """Rewrite the newest checkpoint as one of a session's settings."""
    folder = max(root.glob("step-*"))
    state = read_json(folder / checkpoint.STATE) | {"settings": saving.resolved(session.settings)}
    tensors = {p.name: checkpoint.read_tensors(p) for p in folder.glob("*.safetensors")}
    checkpoint.save_checkpoint(folder, tensors, state)


def test_a_second_save_waits_for_the_first_and_copies_go_where_the_last_ones_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    slow, session = Slow(monkeypatch), Session(tmp_path)
    session.step()
    session.save()
    places = {key: t.data_ptr() for key, t in session.saver._buffers.items()}
    assert bool(places) == (where == "copied")
    session.step()
    threading.Timer(0.2, slow.gate.set).start()
    start = time.perf_counter()
    session.save()
    assert time.perf_counter() - start > 0.1
    assert session.saver.saved_step == 1
    session.saver.wait()
    assert session.saver.saved_step == 2
    assert {key: t.data_ptr() for key, t in session.saver._buffers.items()} == places
    assert session.names() == ["best-0000001", "best-0000002", "step-0000001", "step-0000002"]


def test_leaving_waits_even_when_the_run_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow, session = Slow(monkeypatch), Session(tmp_path)
    session.step()
    threading.Timer(0.1, slow.gate.set).start()
    with contextlib.suppress(RuntimeError), session.saver:
        session.save()
        raise RuntimeError
    assert session.names() == ["best-0000001", "step-0000001"]
    assert not [t for t in threading.enumerate() if t.name.startswith("saver")]


def refuse(number: int, *arguments: Any, **options: Any) -> None:
    raise OSError(number, os.strerror(number))


class BadDisk:
    """Refuses operations whose path has a word in it, for as long as `number` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, word: str):
        self.number, self.word, self.plain = 0, word, getattr(module, name)
        monkeypatch.setattr(module, name, self)

    def __call__(self, *arguments: Any) -> Any:
        if self.number and any(self.word in str(a) for a in arguments):
            refuse(self.number)
        return self.plain(*arguments)


@pytest.mark.parametrize(
    ("number", "says"),
    [(errno.ENOSPC, "no space left"), (errno.EIO, "the disk failed"), (errno.EACCES, "cannot")],
)
def test_what_fails_in_the_background_is_a_warning_at_the_next_call_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, where: str, number: int, says: str
) -> None:
    session = Session(tmp_path, log=Log())
    disk = BadDisk(monkeypatch, files, "_sync", "step-0000002")
    session.step()
    session.save()
    disk.number = number
    session.step()
    session.save()
    session.saver.wait()
    err = capsys.readouterr().err
    assert err.startswith(f"warning: no checkpoint at step 2: {says}")
    assert err.endswith("training goes on\n")
    assert session.saver.saved_step == 1
    disk.number = 0
    session.step()
    session.save()
    session.saver.wait()
    assert capsys.readouterr().err == ""
    assert session.names() == ["best-0000001", "best-0000003", "step-0000001", "step-0000003"]


@pytest.mark.parametrize("module", [files, checkpoint], ids=["flush", "write"])
def test_best_weights_that_fail_in_the_background_stay_in_memory_and_hold_the_checkpoint_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, where: str, module: Any
) -> None:
    session = Session(tmp_path, log=Log())
    name = "_sync" if module is files else "write_tensors"
    disk = BadDisk(monkeypatch, module, name, "best-0000001")
    disk.number = errno.ENOSPC
    session.step()
    best = weights(session.model)
    session.save()
    session.step()
    session.state.best["step"] = 1
    session.saver.wait()
    err = capsys.readouterr().err
    assert "warning: best weights not saved: no space left" in err
    assert "warning: no checkpoint at step 1: no space left" in err
    assert session.names() == []
    session.saver.restore_best(session.state)
    assert_equal(weights(session.model), best)
    disk.number = 0
    session.saver.save(session.state)
    session.saver.wait()
    assert session.names() == ["best-0000001", "step-0000002"]
    checkpoint.verify_checkpoint(tmp_path / "best-0000001")
    session.step()
    session.saver.restore_best(RunState({}, best={"step": 1}))
    assert_equal(weights(session.model), best)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_disk_on_which_nothing_lasts_stops_no_run_and_changes_no_weight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, number: int
) -> None:
    whole, model = Toy(), Toy()
    run(tmp_path / "whole", whole)
    with monkeypatch.context() as patches:
        patches.setattr(os, "fsync", partial(refuse, number))
        facts = run(tmp_path / "full", model, log=Log())
    assert facts["counts"]["steps"] == 12
    assert_equal(weights(whole), weights(model))
    err = capsys.readouterr().err
    assert "warning: no checkpoint at step 5" in err
    assert "warning: no checkpoint at step 12" in err
    assert "metrics.jsonl cannot be flushed" in err


def test_an_error_that_is_not_the_disks_is_raised_at_the_next_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session(tmp_path)

    def broken(draft: checkpoint.Draft) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(checkpoint.Draft, "publish", broken)
    session.step()
    session.save()
    with pytest.raises(ZeroDivisionError):
        session.saver.wait()


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_a_folder_that_cannot_be_written_is_an_error_before_the_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(saving, "TemporaryFile", partial(refuse, number))
    never = Rows()
    never.at = None  # type: ignore[assignment,method-assign]
    with pytest.raises(DiskError, match="checkpoints") as e:
        run(tmp_path, batches=never, evaluate=never.at)
    assert "--out" in e.value.fix


def test_a_file_in_the_folders_place_is_an_error_before_the_first_step(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").touch()
    with pytest.raises(DiskError, match="checkpoints"):
        run(tmp_path)


def test_the_clock_has_no_say_in_what_is_newest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, stopped = Toy(), Toy()
    run(tmp_path / "whole", whole)
    now = iter(range(2_000_000_000, 0, -10_000))
    monkeypatch.setattr(time, "time", lambda: next(now))
    with pytest.raises(RuntimeError):
        run(tmp_path / "stopped", batches=Rows(fail_at=11))
    for folder in (tmp_path / "stopped" / "checkpoints").iterdir():
        os.utime(folder, (0, 2_000_000_000 - int(folder.name[5:]) * 1000))  # the newest looks the oldest
    assert checkpoint.newest_checkpoint(tmp_path / "stopped" / "checkpoints", Log()).name == "step-0000010"
    run(tmp_path / "stopped", stopped)
    assert_equal(weights(whole), weights(stopped))
    assert rows(tmp_path / "whole") == rows(tmp_path / "stopped")


def test_as_many_of_the_newest_are_kept_as_settings_say(tmp_path: Path) -> None:
    run(tmp_path, save_every_steps=2, keep_last=4, evaluate=lambda: {"loss": 1.0})
    names = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert names == ["best-0000000", *(f"step-00000{n:02d}" for n in (6, 8, 10, 12))]


def test_every_changed_setting_is_named_with_both_values(tmp_path: Path) -> None:
    run(tmp_path)
    with pytest.raises(ConfigError) as e:
        run(tmp_path, lr=0.01, seed=2, parallel=ParallelSettings(shard=0))
    assert e.value.problem.endswith(
        "was made with other settings: lr = 0.02, now 0.01, parallel.shard = 1, now 0, seed = 1, now 2"
    )
    assert "set on_change to continue or restart" in e.value.fix


def test_the_word_that_lets_a_run_go_on_is_itself_no_change() -> None:
    assert changed_settings({"on_change": "refuse", "lr": 1}, {"on_change": "continue", "lr": 1}) == []


def test_told_to_continue_it_goes_on_under_the_new_settings_and_remembers_them(
    tmp_path: Path, capsys: Any
) -> None:
    run(tmp_path)
    facts = run(tmp_path, steps=20, lr=0.01, on_change="continue", log=Log())
    assert "going on under other settings" in capsys.readouterr().err
    assert (facts["counts"]["steps"], facts["stopped"]) == (20, "steps")
    assert [row["step"] for row in rows(tmp_path) if "loss" in row] == list(range(1, 21))
    assert run(tmp_path, steps=20, lr=0.01)["counts"]["steps"] == 20
    shorter = run(tmp_path, steps=9, lr=0.01, on_change="continue")
    assert (shorter["counts"]["steps"], shorter["stopped"]) == (20, "steps")


def test_patience_that_has_grown_lets_a_stopped_run_go_on(tmp_path: Path) -> None:
    flat = {"evaluate": lambda: {"loss": 1.0}, "evaluate_every_steps": 2}
    assert run(tmp_path, patience=2, **flat)["counts"]["steps"] == 4
    facts = run(tmp_path, patience=4, on_change="continue", **flat)
    assert (facts["counts"]["steps"], facts["stopped"]) == (8, "patience")


@pytest.mark.parametrize(("before", "after"), [("adamw", "sgd"), ("muon", "adamw")])
def test_what_belongs_to_a_setting_that_changed_starts_anew(tmp_path: Path, before: str, after: str) -> None:
    old, new = Session(tmp_path, before), Session(tmp_path, after, decay=0.5)
    old.step(3)
    old.state.settings = saving.resolved(old.settings)
    old.save()
    old.saver.wait()
    new.settings = settings(optimizer=after, ema_decay=0.5, precision="fp16", on_change="continue")
    new.saver.resume(new.settings)
    assert checkpoint.optimizer_tensors(new.model, new.optimizer) == {}
    assert_equal(weights(new.model), weights(old.model))
    assert new.average is not None
    means = new.average.tensors()
    assert int(means.pop("count")) == 0
    assert_equal(means, {name: p.detach() for name, p in old.model.named_parameters()})
    assert new.precision.scale == 8.0


def test_told_to_restart_it_drops_what_was_there(tmp_path: Path, capsys: Any) -> None:
    run(tmp_path / "a", lr=0.01)
    run(tmp_path / "b", lr=0.02)
    run(tmp_path / "a", lr=0.02, on_change="restart", log=Log())
    assert "starting over, under other settings" in capsys.readouterr().err
    assert rows(tmp_path / "a") == rows(tmp_path / "b")


def test_a_state_with_unknown_parts_is_an_error_that_names_it(tmp_path: Path) -> None:
    write_json(tmp_path / checkpoint.STATE, {"settings": {}, "moods": 3})
    with pytest.raises(CheckpointError, match=r"state\.json is not a run's state: .*moods"):
        RunState.read(tmp_path)
