"""What is refused before anything runs, on every machine."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from luban.errors import BusyError, ConfigError
from luban.sandbox import Limits, interpreter, run_in_sandbox


def test_without_bubblewrap_nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="bwrap is not installed\n  fix: apt-get install bubblewrap"):
        run_in_sandbox({"main.py": ""}, ["main.py"])


@pytest.mark.parametrize("name", ["/etc/x", "../x", "a/../../x", "", "a\0b"])
def test_files_lie_below_the_working_folder(name: str) -> None:
    with pytest.raises(ConfigError, match="no name of a file in a sandbox"):
        run_in_sandbox({name: ""}, ["main.py"])


def test_limits_are_above_zero() -> None:
    with pytest.raises(ConfigError, match="limits.seconds = 0"):
        Limits(seconds=0)


def test_the_interpreter_is_looked_for_once_by_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def libraries(files: list[Path]) -> tuple[list[Path], Path]:
        asked.append(files)
        return [], Path("/lib/ld.so")

    monkeypatch.setattr(interpreter, "_shared_libraries", libraries)
    interpreter._find.cache_clear()
    try:
        with ThreadPoolExecutor(8) as pool:
            assert len(set(pool.map(lambda _: interpreter.find_interpreter(), range(8)))) == 1
    finally:
        interpreter._find.cache_clear()
    assert len(asked) == 1


def test_a_machine_too_busy_to_look_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(*command: object, **settings: object) -> None:
        raise subprocess.TimeoutExpired("ldd", 1)

    monkeypatch.setattr(subprocess, "run", late)
    with pytest.raises(BusyError, match="less to do"):
        interpreter._shared_libraries([Path("python")])
