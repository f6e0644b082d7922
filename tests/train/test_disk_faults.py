"""Whatever file operation of a save fails, or is the last before a kill, what is found is old or new."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from luban.files import hash_path
from luban.log import Log
from luban.optim.build import build_optimizer
from luban.train import checkpoint, saving
from luban.train.precision import Precision
from luban.train.saving import Saver
from tests.train.test_run import assert_equal, weights
from tests.train.toy_run import Rows, Toy, be_quick, run, settings

PLAN: dict[str, Any] = {"steps": 12, "save_every_steps": 3, "evaluate_every_steps": 3}


class Faults:
    """While open, counts file operations and does something in the middle of the k-th."""

    CHANGES = ((Path, ("mkdir", "rename", "replace", "unlink")), (os, ("fsync", "unlink", "rmdir")))
    LOOKS = ((Path, ("stat", "exists")), (os, ("open", "scandir")))

    def __init__(self, k: int, act: Any, operations: Any = CHANGES + LOOKS):
        self.k, self.act, self.n, self.happened = k, act, 0, False
        self.operations = operations

    def __enter__(self) -> Faults:
        self._patches = pytest.MonkeyPatch()
        for where, names in self.operations:
            for name in names:
                self._patches.setattr(where, name, self._counted(getattr(where, name)))
        self._patches.setattr(Path, "open", self._opened(Path.open))
        self._patches.setattr(checkpoint, "save_file", self._half_saved(checkpoint.save_file))
        return self

    def __exit__(self, *error: object) -> None:
        self._patches.undo()

    def count(self) -> None:
        self.n += 1
        if self.n == self.k:
            self.happened = True
            self.act()

    def _counted(self, plain: Any) -> Any:
        def operation(*args: Any, **options: Any) -> Any:
            self.count()
            return plain(*args, **options)

        return operation

    def _opened(self, plain: Any) -> Any:
        def open_file(*args: Any, **options: Any) -> Any:
            self.count()
            return _File(plain(*args, **options), self)

        return open_file

    def _half_saved(self, plain: Any) -> Any:
        def save(tensors: Any, path: Path) -> None:
            plain(tensors, path)
            content = path.read_bytes()
            os.truncate(path, len(content) // 2)
            self.count()
            os.truncate(path, 0)
            with Path.open(path, "wb") as file:
                file.write(content)

        return save


class _File:
    """An open file whose writes are counted; half is written before anything happens."""

    def __init__(self, file: Any, faults: Faults):
        self._file, self._faults = file, faults

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def write(self, data: Any) -> Any:
        half = len(data) // 2
        self._file.write(data[:half])
        self._file.flush()
        self._faults.count()
        return half + self._file.write(data[half:])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A run that was never stopped, the folder of one stopped after step 6, and one in memory after 9."""
    folder = tmp_path_factory.mktemp("runs")
    whole = Toy()
    with pytest.MonkeyPatch.context() as patches:
        be_quick(patches)
        run(folder / "whole", whole, **PLAN)
        for step in (6, 9):
            with pytest.raises(RuntimeError, match="the data broke"):
                run(folder / f"{step}", batches=Rows(fail_at=step + 1), **PLAN)
    six, nine = Toy(), Toy()
    checkpoint.load_weights(checkpoint.step_folder(folder / "6" / "checkpoints", 6), six)
    optimizer = build_optimizer(nine, settings(**PLAN))
    saver = Saver(nine, optimizer, None, precision(), folder / "9" / "checkpoints", Log(quiet=True))
    state = saver.resume(settings(**PLAN))
    assert (state.step, state.best["step"]) == (9, 9)
    return {
        "whole": weights(whole), "old": folder / "6", "model": nine, "optimizer": optimizer, "state": state,
        "weights": {6: weights(six), 9: weights(nine)}, "tried": {},
    }  # fmt: skip


def precision() -> Precision:
    return Precision(torch.float32, torch.device("cpu"))


def save_after_nine(runs: dict[str, Any], root: Path) -> None:
    """Save the best weights and a checkpoint after step 9, and remove the one after step 3."""
    with Saver(runs["model"], runs["optimizer"], None, precision(), root, Log(quiet=True)) as saver:
        saver.save_best(runs["state"])
        saver.save(runs["state"])


def check(runs: dict[str, Any], out: Path) -> int:
    """Return the step of the newest checkpoint, which must be whole, and go on to the end from it.

    What a run does depends on what it finds: the same files are tried once.
    """
    root = out / "checkpoints"
    found = hash_path(root), *sorted(p.name for p in root.iterdir())
    if found not in runs["tried"]:
        newest = checkpoint.newest_checkpoint(root, Log(quiet=True))
        assert newest is not None
        model, resumed = Toy(), Toy()
        checkpoint.load_weights(newest, model)
        runs["tried"][found] = int(newest.name[5:])
        assert_equal(weights(model), runs["weights"][runs["tried"][found]])
        run(out, resumed, **PLAN)
        assert_equal(weights(resumed), runs["whole"])
        names = {p.name for p in root.iterdir()}
        assert names == {"best-0000009", "best-0000012", "step-0000009", "step-0000012"}
    shutil.rmtree(out)
    return runs["tried"][found]


def raise_error(number: int) -> None:
    raise OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    ("number", "is_copied"), [(errno.EIO, False), (errno.ENOSPC, True)], ids=["EIO", "ENOSPC of copies"]
)
def test_whichever_file_operation_fails_the_newest_checkpoint_is_the_old_or_the_new(
    tmp_path: Path, runs: dict[str, Any], monkeypatch: pytest.MonkeyPatch, number: int, is_copied: bool
) -> None:
    be_quick(monkeypatch)
    monkeypatch.setattr(saving, "is_on_host", lambda tensor: not is_copied)
    found, k = [], 0
    faults = Faults(0, None)
    while not k or faults.happened:
        k += 1
        out = tmp_path / f"{k}"
        shutil.copytree(runs["old"], out, ignore=shutil.ignore_patterns("events*"))
        with Faults(k, lambda: raise_error(number)) as faults:
            save_after_nine(runs, out / "checkpoints")
        found.append(check(runs, out))
    assert set(found) == {6, 9}
    assert len(found) > 60


def test_whichever_file_operation_is_the_last_before_a_kill_the_newest_is_the_old_or_the_new(
    tmp_path: Path, runs: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    be_quick(monkeypatch)
    found, k, is_killed = [], 0, True
    while is_killed:
        k += 1
        out = tmp_path / f"{k}"
        shutil.copytree(runs["old"], out, ignore=shutil.ignore_patterns("events*"))
        child = os.fork()
        if not child:
            try:
                with Faults(k, lambda: os.kill(os.getpid(), signal.SIGKILL), Faults.CHANGES):
                    save_after_nine(runs, out / "checkpoints")
            finally:
                os._exit(0)
        is_killed = os.waitpid(child, 0)[1] == signal.SIGKILL
        found.append(check(runs, out))
    assert found == sorted(found)
    assert set(found) == {6, 9}
    assert len(found) > 50
