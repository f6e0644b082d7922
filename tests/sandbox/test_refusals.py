"""What is refused before anything runs, on every machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from luban.errors import ConfigError
from luban.sandbox import Limits, run_in_sandbox


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
