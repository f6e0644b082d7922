"""One command becomes several processes; whatever happens to them, none stays behind."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from luban.cli import launch
from luban.cli.launch import Job, Watch, say_final
from luban.cli.main import main
from luban.errors import ConfigError


def test_without_its_flags_a_command_is_one_process() -> None:
    assert Job.take(["train", "--task", "classify"]) is None
    assert Job.take(["train", "--nproc", "1"]) is None


def test_its_flags_are_taken_out_of_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    job = Job.take(["train", "--nproc", "2", "--data", "x", "--max-restarts=0", "--json"])
    assert job is not None
    assert (job.command, job.nproc, job.max_restarts) == (["train", "--data", "x", "--json"], 2, 0)
    told = job.torchrun()
    assert told[-6:] == ["--module", "luban", "train", "--data", "x", "--json"]
    assert "join_timeout=600" in told[told.index("--rdzv-conf") + 1]
    two_hosts = Job.take(["train", "--nnodes", "2", "--rendezvous", "a:1", "--wait-seconds", "9"])
    assert two_hosts is not None
    assert "a:1" in two_hosts.torchrun()
    assert "join_timeout=9" in " ".join(two_hosts.torchrun())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--nproc", "two"], "--nproc two is no count"),
        (["--nproc", "0"], "--nproc 0 is no count"),
        (["--nproc"], "--nproc  is no count"),
        (["--nproc", "2", "--max-restarts", "-1"], "--max-restarts -1 is no count"),
        (["--nnodes", "2"], "--nnodes 2 does not say where the hosts meet"),
    ],
)
def test_flags_that_make_no_job_are_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Job.take(["train", *arguments])


def test_processes_inside_processes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(ConfigError, match="--nproc within a process that torchrun started"):
        Job.take(["train", "--nproc", "2"])


def agent(folder: Path, worker: str, *, is_deaf: bool = False) -> subprocess.Popen[bytes]:
    """Start what stands for torchrun, with one worker in a session of its own; both write their ids."""
    body = f"""
        import os, pathlib, signal, subprocess, sys, time
        folder = pathlib.Path({str(folder)!r})
        def note(name): (folder / f"{{name}}.new").write_text(str(os.getpid())); (folder / f"{{name}}.new").rename(folder / name)
    """
    deaf = "signal.signal(signal.SIGTERM, signal.SIG_IGN)" if is_deaf else ""
    (folder / "luban_worker.py").write_text(textwrap.dedent(body) + f"{deaf}\nnote('worker')\n{worker}\n")
    start = "p = subprocess.Popen([sys.executable, str(folder / 'luban_worker.py')], start_new_session=True)"
    (folder / "agent.py").write_text(
        textwrap.dedent(body) + f"{deaf}\nnote('agent')\n{start if worker else ''}\n"
        + ("sys.exit(p.wait())" if worker else "time.sleep(60)")
    )  # fmt: skip
    return subprocess.Popen([sys.executable, str(folder / "agent.py")], start_new_session=True)


def is_gone(folder: Path, name: str) -> bool:
    path = Path(f"/proc/{(folder / name).read_text()}/stat")
    for _ in range(50):
        if not path.exists() or path.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.1)
    return False


def wait_for(path: Path) -> None:
    for _ in range(100):
        if path.exists():
            return
        time.sleep(0.1)
    raise TimeoutError(path)


def shorten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "GRACE_SECONDS", 0.2)
    monkeypatch.setattr(launch, "SLACK_SECONDS", 0.3)


def test_the_end_of_all_is_the_end(tmp_path: Path) -> None:
    assert Watch(agent(tmp_path, "sys.exit(7)"), tmp_path / "verdict", 30).to_the_end() == 7


def test_after_a_final_verdict_all_are_ended_deaf_ones_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten(monkeypatch)
    worker = "(folder / 'verdict').write_text('3'); time.sleep(60)"
    assert Watch(agent(tmp_path, worker, is_deaf=True), tmp_path / "verdict", 30).to_the_end() == 3
    assert is_gone(tmp_path, "worker")
    assert is_gone(tmp_path, "agent")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_handed_on_and_is_the_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    shorten(monkeypatch)
    started = agent(tmp_path, "time.sleep(60)")

    def send() -> None:
        wait_for(tmp_path / "worker")
        time.sleep(0.3)
        os.kill(os.getpid(), number)

    threading.Thread(target=send).start()
    assert Watch(started, tmp_path / "verdict", 30).to_the_end() == 128 + number
    assert is_gone(tmp_path, "worker")
    assert is_gone(tmp_path, "agent")


def test_waiting_for_hosts_without_a_worker_has_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten(monkeypatch)
    assert Watch(agent(tmp_path, "", is_deaf=True), tmp_path / "verdict", 0.5).to_the_end() == 1
    assert is_gone(tmp_path, "agent")


def test_a_worker_that_ended_unseen_is_no_worker(tmp_path: Path) -> None:
    started = subprocess.Popen([sys.executable, "-c", "pass"])
    wait_until_it_has_ended = os.waitid(os.P_PID, started.pid, os.WEXITED | os.WNOWAIT)
    assert wait_until_it_has_ended is not None
    assert started.pid not in launch.children(os.getpid())
    started.wait()


def test_a_process_goes_with_its_parent(tmp_path: Path) -> None:
    started = agent(
        tmp_path,
        f"sys.path.insert(0, {str(Path(launch.__file__).parents[2])!r})\n"
        "from luban.cli.launch import follow_parent\nfollow_parent()\nnote('ready')\ntime.sleep(60)",
    )
    wait_for(tmp_path / "ready")
    started.kill()
    started.wait()
    assert is_gone(tmp_path, "worker")


def test_only_one_process_says_why_all_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGTERM)
    try:
        monkeypatch.setenv(launch.VERDICT, str(tmp_path / "verdict"))
        monkeypatch.setenv("RANK", "1")
        assert say_final(2)  # alone
        assert not say_final(2)
        monkeypatch.setenv("RANK", "0")
        assert say_final(3)
        assert (tmp_path / "verdict").read_text() == "3"
    finally:
        signal.signal(signal.SIGTERM, before)


def test_help_names_the_flags(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    told = capsys.readouterr().out
    for flag in ("--nproc", "--nnodes", "--rendezvous", "--max-restarts", "--wait-seconds"):
        assert flag in told


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with this repository's package."""
    root = str(Path(__file__).parents[2])
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_hosts_that_do_not_meet_are_one_line_and_no_traceback() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    job = Job(["--version"], 1, 2, 0, 1, f"127.0.0.1:{port}")
    told = run_python("-m", "luban.cli.launch", *job.torchrun(), "--local-addr", "127.0.0.1")
    assert told.returncode == 2
    assert told.stderr.splitlines() == [
        f"error: 2 hosts did not meet at 127.0.0.1:{port} in the time that --wait-seconds gives",
        "  fix: start the same command on every host, with a --rendezvous that all of them reach",
    ]


def test_a_process_that_is_ended_while_it_shuts_down_says_nothing() -> None:
    body = """
        import atexit, os, signal
        atexit.register(lambda: os.kill(os.getpid(), signal.SIGTERM))
        from luban.cli.main import main
        main(["--version"])
    """
    told = run_python("-c", textwrap.dedent(body))
    assert told.stderr == ""
    assert told.returncode in (-signal.SIGTERM, 0)


def test_loggers_with_a_level_of_their_own_are_quiet_too() -> None:
    inner = logging.getLogger("luban.test.library.inner")
    inner.setLevel(logging.WARNING)
    launch._quiet("luban.test.library")
    assert not inner.isEnabledFor(logging.WARNING)
    assert inner.isEnabledFor(logging.ERROR)


@pytest.mark.slow
def test_a_worker_killed_with_kill_9_changes_no_bit_of_the_model() -> None:
    root = Path(__file__).parents[2]
    told = subprocess.run(
        [sys.executable, "benchmarks/kill_worker.py", "--kills", "1"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    found = json.loads(told.stdout)
    assert found["equal"]
    assert found["left_processes"] == []
