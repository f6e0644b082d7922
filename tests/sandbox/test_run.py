"""What runs in a sandbox, and what cannot be done in it. Every hostile program runs inside alone."""

from __future__ import annotations

import os
import platform
import re
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import luban
from luban.errors import ConfigError
from luban.sandbox import Limits, Outcome, run_in_sandbox, run_without_sandbox
from luban.sandbox.bubblewrap import FIRST_UID, N_UIDS
from luban.sandbox.check import require_sandbox, what_is_wrong
from tests.sandbox.hostile import (
    BIG_FILES,
    FORKS,
    KILLS_ALL,
    LEAVES_ONE,
    MEMORY_BEHIND_A_THREAD,
    MEMORY_OF_MANY,
    REACHES,
    THREADS,
    USES_UP,
    X86_CALLS,
)

QUICK = (
    "a file of the machine",
    "a host of the internet",
    "mount",
    "a user namespace",
    "its parent's environment",
)
pytestmark = pytest.mark.usefixtures("sandbox")
SHORT = Limits(seconds=6, cpu_seconds=2)


def run(program: str, limits: Limits | None = None) -> Outcome:
    return run_in_sandbox({"main.py": program}, ["main.py"], limits)


def is_refused(program: str) -> None:
    outcome = run(program.replace("PID_OUTSIDE", str(os.getpid())))
    assert outcome.verdict in ("ok", "failed"), outcome
    assert outcome.stdout.startswith("tried\n"), outcome
    assert "BREACH" not in outcome.stdout, outcome
    assert len(outcome.stdout) > len("tried\n"), outcome  # the reason was printed


def sandboxed_processes(of: int | None = None) -> list[int]:
    """Return processes of sandboxes that `of` (else this process) started, or that nobody has any more."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            is_ours = FIRST_UID <= path.stat().st_uid < FIRST_UID + N_UIDS
            if is_ours or os.readlink(path / "exe").endswith("/bwrap"):
                parents[int(path.name)] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    first = {pid for pid, parent in parents.items() if parent in (1, of or os.getpid())}
    while more := {pid for pid, parent in parents.items() if parent in first} - first:
        first |= more
    return sorted(first)


def test_a_program_runs_among_its_files_with_the_standard_library_alone() -> None:
    program = (
        "import json, asyncio, sqlite3, ssl, threading, subprocess, sys, os, decimal, zoneinfo, other\n"
        "t = threading.Thread(target=print, args=('线程',)); t.start(); t.join()\n"
        "async def main(): await asyncio.sleep(0)\n"
        "asyncio.run(main())\n"
        "print(subprocess.run([sys.executable, '-c', 'print(7)'], capture_output=True, text=True).stdout)\n"
        "open('/tmp/mine', 'w').write('x')\n"
        "print(other.VALUE, os.getcwd(), sorted(os.environ), sorted(os.listdir('/')), os.getuid())"
    )
    outcome = run_in_sandbox({"main.py": program, "other.py": b"VALUE = 3"}, ["main.py"])
    assert outcome.verdict == "ok", outcome
    thread, seven, _, last = outcome.stdout.splitlines()
    assert (thread, seven) == ("线程", "7")
    seen = last.replace("'LC_CTYPE', ", "").replace("'lib'", "'lib64'")
    names = "['HOME', 'LD_LIBRARY_PATH', 'PATH', 'PWD'] ['dev', 'lib64', 'py', 'tmp']"
    assert seen == f"3 /tmp {names} 65534"


def test_the_check_of_this_machine_is_content() -> None:
    assert what_is_wrong() is None


def test_secrets_of_the_environment_are_not_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "canary-7781")
    outcome = run("import os; print(dict(os.environ)); print(open('/proc/1/environ').read())")
    assert outcome.verdict == "failed"
    assert "canary" not in outcome.stdout + outcome.stderr


@pytest.mark.parametrize(
    ("program", "verdict", "problem"),
    [
        ("", "ok", ""),
        ("assert 1 == 2, 'not equal'", "failed", "AssertionError: not equal"),
        ("import sys; sys.exit(3)", "failed", "ended with 3"),
        ("x = 1 +", "failed", "SyntaxError: invalid syntax"),
        ("import os; os.kill(os.getpid(), 11)", "failed", "ended with 139"),
    ],
)
def test_a_verdict_says_what_became_of_a_program(program: str, verdict: str, problem: str) -> None:
    outcome = run(program)
    assert (outcome.verdict, outcome.problem) == (verdict, problem)


@pytest.mark.parametrize("what", QUICK)
def test_what_is_outside_cannot_be_reached(what: str) -> None:
    is_refused(REACHES[what])


@pytest.mark.slow
@pytest.mark.parametrize("what", sorted(REACHES))
def test_nothing_outside_can_be_reached(what: str) -> None:
    with socket.socket(socket.AF_UNIX) as outside:
        outside.bind("\0luban-test-outside")
        outside.listen()
        is_refused(REACHES[what])


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers are those of x86_64")
@pytest.mark.parametrize("what", sorted(X86_CALLS))
def test_calls_of_the_kernel_that_are_not_listed_fail(what: str) -> None:
    is_refused(X86_CALLS[what])


def test_endless_output_is_cut() -> None:
    outcome = run("while True: print('x' * 1000)")
    assert outcome.verdict == "output"
    assert len(outcome.stdout) <= Limits().output_bytes + 1


@pytest.mark.slow
@pytest.mark.parametrize("what", sorted(USES_UP))
def test_a_program_that_uses_up_a_resource_is_ended(what: str) -> None:
    program, verdict = USES_UP[what]
    outcome = run(program, SHORT)
    assert outcome.verdict == verdict, outcome
    assert outcome.seconds < 12
    assert not sandboxed_processes()


@pytest.mark.slow
@pytest.mark.parametrize("program", [FORKS, THREADS])
def test_forks_and_threads_are_bounded(program: str) -> None:
    outcome = run(program)
    assert outcome.verdict == "ok", outcome
    assert 5 < int(outcome.stdout) < Limits().processes
    assert not sandboxed_processes()


@pytest.mark.slow
@pytest.mark.parametrize("program", [MEMORY_OF_MANY, MEMORY_BEHIND_A_THREAD])
def test_memory_of_all_processes_counts_together(program: str) -> None:
    outcome = run(program, Limits(memory_bytes=256 << 20))
    assert outcome.verdict == "memory", outcome


@pytest.mark.slow
def test_files_are_bounded_one_by_one_and_together() -> None:
    outcome = run(BIG_FILES)
    assert outcome.stdout.splitlines() == ["7 OSError", "27"], outcome


@pytest.mark.slow
def test_killing_everything_reaches_nothing_but_itself() -> None:
    outcome = run(KILLS_ALL)
    assert outcome.verdict in ("ok", "failed")
    assert not sandboxed_processes()


def test_a_process_left_behind_ends_with_the_program() -> None:
    outcome = run(LEAVES_ONE)
    assert (outcome.verdict, outcome.stdout) == ("ok", "left\n")
    assert outcome.seconds < 8
    assert not sandboxed_processes()


@pytest.mark.slow
def test_a_hundred_programs_by_four_at_a_time_leave_nothing() -> None:
    def one(n: int) -> Outcome:
        return run((FORKS if n % 25 == 0 else LEAVES_ONE if n % 10 == 0 else "") + f"\nprint({n})")

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(one, range(100)))
    assert [o.verdict for o in outcomes] == ["ok"] * 100
    assert [int(o.stdout.split()[-1]) for o in outcomes] == list(range(100))
    assert not sandboxed_processes()
    assert not [fd for fd in os.listdir("/proc/self/fd") if "luban" in _target(fd)]


def test_without_a_sandbox_time_and_output_are_still_bounded(tmp_path: Path) -> None:
    """Harmless programs alone: nothing hostile runs here."""
    assert run_without_sandbox({"a/b.py": "print(5)"}, ["a/b.py"]).stdout == "5\n"
    outcome = run_without_sandbox({"m": "import time; time.sleep(9)"}, ["m"], Limits(seconds=0.5))
    assert outcome.verdict == "timeout"
    outcome = run_without_sandbox({"m": "print('x' * 999999)"}, ["m"])
    assert outcome.verdict == "output"
    assert run_without_sandbox({"m": "import os; os.abort()"}, ["m"]).code == 134


def _target(fd: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return ""


@pytest.mark.slow
def test_the_end_of_luban_ends_the_program() -> None:
    code = "from luban.sandbox import *\nrun_in_sandbox({'m': 'import time; time.sleep(60)'}, ['m'], Limits(seconds=50))"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=Path(luban.__file__).parent.parent)
    until = time.monotonic() + 20
    while not sandboxed_processes(process.pid) and time.monotonic() < until:
        time.sleep(0.1)
    time.sleep(0.5)
    assert sandboxed_processes(process.pid)
    process.kill()
    process.wait()
    while sandboxed_processes() and time.monotonic() < until:
        time.sleep(0.1)
    assert not sandboxed_processes()


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="the suite runs as an ordinary user already")
def test_an_ordinary_user_has_a_sandbox_too() -> None:
    system = Path("/usr/bin/python3")
    if not system.exists():
        pytest.skip("there is no interpreter that every user may run")
    code = (
        "from luban.sandbox import run_in_sandbox as r\n"
        f"print(r({{'m': {FORKS!r}}}, ['m']))\n"
        "print(r({'m': 'open(\"/etc/passwd\")'}, ['m']).problem)"
    )
    done = subprocess.run(
        ["setpriv", "--reuid=63000", "--regid=63000", "--clear-groups", system, "-c", code],
        cwd=Path(luban.__file__).parent.parent,
        capture_output=True,
        text=True,
        timeout=60,
    )
    first, second = done.stdout.splitlines()
    made = re.match(r"Outcome\(verdict='ok', stdout='(\d+)", first)
    assert made
    assert 5 < int(made[1]) < Limits().processes
    assert second.startswith("FileNotFoundError")


def test_a_sandbox_that_cannot_be_made_is_not_the_programs_failure(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "bwrap").write_text("#!/bin/sh\necho no namespaces here >&2\nexit 1\n")
    (tmp_path / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    outcome = run("print(1)")
    assert (outcome.verdict, outcome.problem) == ("sandbox_error", "no namespaces here")
    with pytest.raises(ConfigError, match="allow user namespaces"):
        require_sandbox()
