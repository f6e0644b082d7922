"""Start one command as several processes, watch over them, and leave none behind.

`luban train --nproc 2 ...` runs torchrun, which runs the same command twice and restarts both when one
dies. This process starts torchrun in a group of its own, hands signals on, and ends what does not end
by itself. `python -m luban.cli.launch` is torchrun, with one line instead of a traceback.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import platform
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from luban.errors import ConfigError

VERDICT = "LUBAN_VERDICT"
"""File where a process says with which code all should end, because another try would end the same way."""
GRACE_SECONDS = 60
"""From asking processes to stop until they are killed: time to save."""
SLACK_SECONDS = 10
"""What torchrun needs beyond the time that it was given."""
POLL_SECONDS = 0.1
NUMBERS = {"--nproc": 1, "--nnodes": 1, "--max-restarts": 3, "--wait-seconds": 600}
"""Flags of this module, with what holds when they are not given."""
RENDEZVOUS = "--rendezvous"


@dataclass(frozen=True, slots=True)
class Job:
    """How many processes run a command, and how long they wait for each other."""

    command: list[str]
    nproc: int
    nnodes: int
    max_restarts: int
    wait_seconds: int
    rendezvous: str | None

    @classmethod
    def take(cls, arguments: list[str]) -> Job | None:
        """Return the job that a command line asks for; None if it asks for one process."""
        command, values, rendezvous = [], dict(NUMBERS), None
        rest = iter(arguments)
        for argument in rest:
            name, is_joined, value = argument.partition("=")
            if name not in (*NUMBERS, RENDEZVOUS):
                command.append(argument)
                continue
            value = value if is_joined else next(rest, "")
            if name == RENDEZVOUS:
                rendezvous = value
            else:
                values[name] = _count(name, value)
        if values["--nproc"] == values["--nnodes"] == 1:
            return None
        if values["--nnodes"] > 1 and not rendezvous:
            raise ConfigError(
                f"--nnodes {values['--nnodes']} does not say where the hosts meet",
                fix="add --rendezvous HOST:PORT, the same on every host; HOST is one of them",
            )
        if "RANK" in os.environ:
            raise ConfigError(
                "--nproc within a process that torchrun started", fix="leave --nproc out, or torchrun"
            )
        nproc, nnodes, max_restarts, wait_seconds = values.values()
        return cls(command, nproc, nnodes, max_restarts, wait_seconds, rendezvous)

    def torchrun(self) -> list[str]:
        """Return torchrun's arguments. Every wait has an end."""
        waits = {"join_timeout": self.wait_seconds, "timeout": self.wait_seconds, "read_timeout": 60}
        waits |= {"last_call_timeout": 5, "close_timeout": 30}
        conf = ",".join(f"{name}={value}" for name, value in waits.items())
        where = ["--standalone", "--local-addr", "127.0.0.1"]
        if self.rendezvous:
            where = ["--rdzv-backend", "c10d", "--rdzv-endpoint", self.rendezvous, "--rdzv-id", "luban"]
            where += ["--local-addr", address] if (address := os.environ.get("LUBAN_ADDRESS")) else []
        return [
            *("--nproc-per-node", str(self.nproc), "--nnodes", str(self.nnodes)),
            *("--max-restarts", str(self.max_restarts), "--shutdown-timeout", str(GRACE_SECONDS)),
            *("--rdzv-conf", conf, *where, "--module", "luban", *self.command),
        ]

    def run(self) -> int:
        """Run the processes to their end and return the exit code of all."""
        with tempfile.TemporaryDirectory(prefix="luban-job-") as folder:
            verdict = Path(folder) / "verdict"
            cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
            threads = {"OMP_NUM_THREADS": str(max(1, cores // self.nproc))}
            agent = subprocess.Popen(
                [sys.executable, "-m", "luban.cli.launch", *self.torchrun()],
                env={**threads, **os.environ, VERDICT: str(verdict)},
                start_new_session=True,
            )
            return Watch(agent, verdict, self.wait_seconds + SLACK_SECONDS).to_the_end()


@dataclass(slots=True)
class Watch:
    """Watches torchrun and its workers."""

    agent: subprocess.Popen[bytes]
    verdict: Path
    idle_seconds: float
    """How long torchrun may be without a worker: it may wait for other hosts, but not for ever."""
    asked: int = 0
    """The signal that asked all to stop."""
    workers: set[int] = field(default_factory=set)
    deadline: float = float("inf")

    def to_the_end(self) -> int:
        """Wait for the end, bring it about when it is due, and return the exit code of all."""
        with self._signals():
            try:
                self._wait()
            finally:
                self._kill()
        if self.asked and self.agent.returncode:
            return 128 + self.asked
        with contextlib.suppress(FileNotFoundError, ValueError):
            return int(self.verdict.read_text())
        return self.agent.returncode if self.agent.returncode >= 0 else 1

    def _wait(self) -> None:
        seen = time.monotonic()
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.agent.wait(POLL_SECONDS)
                return
            now = time.monotonic()
            found = children(self.agent.pid)
            self.workers |= found
            seen = now if found else seen
            if self.verdict.exists():
                self._stop(GRACE_SECONDS)
            elif now - seen > self.idle_seconds:
                self._stop(0)  # there is nothing to save
            if now > self.deadline:
                return

    def _stop(self, seconds: float) -> None:
        """Ask torchrun to stop its workers, once; in so many seconds it kills them, or is killed."""
        if self.deadline == float("inf"):
            self.deadline = time.monotonic() + seconds + SLACK_SECONDS
            with contextlib.suppress(ProcessLookupError):
                self.agent.send_signal(signal.SIGTERM)

    def _kill(self) -> None:
        """End whatever is left; workers are in groups of their own."""
        for group in (*self.workers, self.agent.pid):
            if group == self.agent.pid or is_worker(group, self.agent.pid):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(group, signal.SIGKILL)
        self.agent.wait()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        def note(number: int, frame: FrameType | None) -> None:
            if self.asked:
                self.deadline = 0.0  # asked twice: at once
            self.asked = number
            self._stop(GRACE_SECONDS)

        before = {s: signal.signal(s, note) for s in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def children(pid: int) -> set[int]:
    """Return the living processes that `pid` has started; where the system does not tell, itself."""
    try:
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return {pid}
    return {int(child) for child in found if _lives(child)}


def _lives(pid: str) -> bool:
    """Whether a process still runs: one that has ended stays listed until its parent looks."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def is_worker(pid: int, agent: int) -> bool:
    """Whether a number seen earlier is still a worker: torchrun makes each the leader of a session."""
    try:
        return os.getsid(pid) == pid and b"luban" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def follow_parent(number: int = signal.SIGKILL) -> None:
    """Let this process get a signal when its parent is gone, however that ended."""
    if platform.system() == "Linux":
        ctypes.CDLL(None).prctl(1, number)  # PR_SET_PDEATHSIG
        return
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.kill(os.getpid(), number)

    threading.Thread(target=watch, daemon=True).start()


def say_final(code: int) -> bool:
    """Tell the watching process that another try would end the same way.

    Returns whether this process is the one to say why: the first one, or one that failed alone.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it is about to end
    path = Path(os.environ.get(VERDICT, os.devnull))
    is_first = os.environ.get("RANK", "0") == "0"
    if not is_first:
        time.sleep(0.5)
    is_alone = not path.is_file()
    if path.parent.is_dir():
        path.write_text(str(code))
    return is_first or is_alone


def _count(name: str, value: str) -> int:
    least = 0 if name == "--max-restarts" else 1
    if not value.isdecimal() or int(value) < least:
        raise ConfigError(f"{name} {value} is no count", fix=f"give a whole number from {least} on")
    return int(value)


def agent(arguments: list[str]) -> int:
    """Be torchrun; a failure of the workers is one line, for they have said why."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous.api import RendezvousError
    from torch.distributed.run import main as torchrun

    follow_parent(signal.SIGTERM)
    _quiet("torch.distributed.elastic")
    try:
        torchrun(arguments)
    except RendezvousError as e:
        print(f"error: {_not_met(arguments, e)}", file=sys.stderr)
        return ConfigError.exit_code
    except SignalException as e:
        return 128 + e.sigval
    except ChildFailedError as e:
        rank, failure = e.get_first_failure()
        first: Any = failure
        code = first.exitcode if first.exitcode > 0 else 128 - first.exitcode
        if not os.path.exists(os.environ.get(VERDICT, "")):
            print(f"process {rank} ended with code {code}; no restart is left", file=sys.stderr)
        return code
    return 0


def _quiet(name: str) -> None:
    """Let a library tell of errors alone; some of its loggers have a level of their own."""
    logging.getLogger(name).setLevel(logging.ERROR)
    for inner in list(logging.root.manager.loggerDict):
        if inner.startswith(f"{name}."):
            logging.getLogger(inner).setLevel(logging.ERROR)


def _not_met(arguments: list[str], error: Exception) -> str:
    """Return in words that the hosts have not found each other, and what to do."""
    names = ("--rdzv-endpoint", "--nnodes")
    where, n = (arguments[arguments.index(k) + 1] if k in arguments else "this host" for k in names)
    why = f": {error}" if str(error) else " in the time that --wait-seconds gives"
    fix = "start the same command on every host, with a --rendezvous that all of them reach"
    return f"{n} hosts did not meet at {where}{why}\n  fix: {fix}"


if __name__ == "__main__":
    sys.exit(agent(sys.argv[1:]))
