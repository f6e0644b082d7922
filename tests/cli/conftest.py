"""`command` runs a command line in this process; `graph` makes stages that tests can slow or break."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from luban.cli import main as cli

ROOT = Path(__file__).parent.parent.parent

DRIVER = """
import sys, time
from dataclasses import dataclass
from pathlib import Path
sys.modules["toy_stages"] = sys.modules[__name__]

@dataclass(frozen=True, kw_only=True, slots=True)
class ToySettings:
    seconds: float = 0.0
    word: str = "plain"

def toy(settings, inputs, out, log):
    (out / "half.txt").write_text("half")
    log.say("half way")
    time.sleep(settings.seconds)
    (out / "whole.txt").write_text(settings.word)
    return {"counts": {"files": len(inputs)}}

from luban.stages import STAGES, Stage
STAGES["toy"] = Stage("toy", "toy_stages:toy", "toy_stages:ToySettings", ("raw",))

import types
import luban.report
page, summary = types.ModuleType("luban.report.page"), types.ModuleType("luban.report.summary")
page.write_report = lambda run_folder, out, statuses: out.write_text("<p>page</p>")
summary.summarise = lambda run_folder: f"summary of {run_folder}"
sys.modules["luban.report.page"], sys.modules["luban.report.summary"] = page, summary

if __name__ == "__main__":
    from luban.cli.main import main
    main()
"""

RECIPE = """\
recipe: toys
out: {out}
stages:
  one: {{use: toy, from: {{raw: {raw}}}}}
  two: {{use: toy, from: {{raw: one}}}}
"""


class Answer(NamedTuple):
    code: int
    out: str
    err: str


Command = Callable[..., Answer]


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    monkeypatch.setenv("COLUMNS", "120")
    before = signal.getsignal(signal.SIGTERM)

    def call(*arguments: object) -> Answer:
        with pytest.raises(SystemExit) as stop:
            cli.main([str(a) for a in arguments])
        out, err = capfd.readouterr()
        return Answer(int(stop.value.code or 0), out, err)

    yield call
    signal.signal(signal.SIGTERM, before)


class Graph:
    """A folder with a recipe of two toy stages, run by its own Python process."""

    def __init__(self, folder: Path):
        self.folder, self.out, self.recipe = folder, folder / "out", folder / "toys.yaml"
        (folder / "raw.txt").write_text("raw")
        (folder / "driver.py").write_text(DRIVER)
        self.recipe.write_text(RECIPE.format(out=self.out, raw=folder / "raw.txt"))

    def start(self, *arguments: object) -> "subprocess.Popen[str]":
        line = [sys.executable, self.folder / "driver.py", *arguments]
        return subprocess.Popen(
            [str(part) for part in line],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            # A shell's background job ignores ctrl-C, and its children inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "COLUMNS": "120"},
        )  # fmt: skip

    def call(self, *arguments: object) -> Answer:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=60)
        return Answer(process.returncode, out, err)

    def start_and_wait_for(self, text: str, *arguments: object) -> "subprocess.Popen[str]":
        """Start the command and return once it has printed `text` on stderr."""
        process = self.start(*arguments)
        assert process.stderr
        for line in process.stderr:
            if text in line:
                return process
        raise AssertionError(f"ended with {process.wait()} without saying {text!r}")


@pytest.fixture
def graph(tmp_path: Path) -> Graph:
    return Graph(tmp_path)
