"""Watch a program that runs, end it with all that it started, and judge what became of it."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from luban.sandbox.limits import Limits, Outcome, Verdict

LOOK_EVERY_SECONDS = 0.05
GONE_WITHIN_SECONDS = 10.0
SIGKILL, SIGXCPU = 9, 24


class Pipe:
    """A pipe whose text is collected here."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()
        os.set_blocking(self.read_end, False)
        self.data = bytearray()
        self.is_open = True
        self._is_writing = True

    def __enter__(self) -> Pipe:
        return self

    def __exit__(self, *error: object) -> None:
        self.close_write_end()
        os.close(self.read_end)

    def close_write_end(self) -> None:
        """Close our copy, so that the pipe ends with the program."""
        if self._is_writing:
            os.close(self.write_end)
            self._is_writing = False

    def take(self, at_most: int) -> None:
        """Collect what is there now, and no more than `at_most` bytes in all."""
        while self.is_open and len(self.data) < at_most:
            try:
                part = os.read(self.read_end, min(65536, at_most - len(self.data)))
            except BlockingIOError:
                return
            self.data += part
            self.is_open = bool(part)

    def text(self) -> str:
        """Return what was collected; bytes that are no text become U+FFFD."""
        return self.data.decode("utf-8", "replace")


@dataclass(slots=True)
class Watched:
    """A sandbox that runs."""

    process: subprocess.Popen[bytes]
    out: Pipe
    err: Pipe
    status: Pipe
    info: Pipe
    init: int | None = None
    """First process in the sandbox; with it all others end."""
    init_fd: int | None = None

    def outcome(self, limits: Limits, started: float) -> Outcome:
        """Wait for the program, end all that is left of it, and judge what was seen."""
        try:
            stopped = self._until_end(limits, started)
        finally:
            is_gone = self._end()
        return self._judged(stopped, is_gone, limits, time.monotonic() - started)

    def _until_end(self, limits: Limits, started: float) -> tuple[Verdict, str] | None:
        """Wait for the program; return why it has to be stopped, or None where it ended by itself."""
        ended = os.pidfd_open(self.process.pid)
        try:
            while True:
                pipes = [p.read_end for p in (self.out, self.err, self.status, self.info) if p.is_open]
                ready, _, _ = select.select([ended, *pipes], [], [], LOOK_EVERY_SECONDS)
                self._take(limits)
                if len(self.out.data) + len(self.err.data) > limits.output_bytes:
                    return "output", f"wrote more than {limits.output_bytes} bytes"
                if ended in ready:
                    return None
                if time.monotonic() - started > limits.seconds:
                    return "timeout", f"ran for more than {limits.seconds:g} s"
                if self.init and resident_bytes(self.init) > limits.memory_bytes:
                    return "memory", f"its processes used more than {limits.memory_bytes >> 20} MiB"
        finally:
            os.close(ended)

    def _end(self) -> bool:
        """End every process, and say whether all are gone. Not reaped yet, the group's number is ours."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        if self.init_fd is None:
            return True
        with suppress(ProcessLookupError):  # it ended by itself, and all others before it
            signal.pidfd_send_signal(self.init_fd, signal.SIGKILL)
        gone, _, _ = select.select([self.init_fd], [], [], GONE_WITHIN_SECONDS)
        os.close(self.init_fd)
        return bool(gone)

    def _judged(
        self, stopped: tuple[Verdict, str] | None, is_gone: bool, limits: Limits, seconds: float
    ) -> Outcome:
        """Nothing is the program's fault that was not surely run as it should be."""
        self._take(limits)
        text = self.out.text(), self.err.text()
        if not is_gone:
            return Outcome("sandbox_error", *text, seconds, problem="processes of it are left")
        if bytes(self.status.data) != b"r":
            why = (
                self.status.text().removeprefix("r") or self.err.text().strip() or "the sandbox did not start"
            )
            return Outcome("sandbox_error", *text, seconds, problem=why)
        if stopped:
            return Outcome(stopped[0], *text, seconds, problem=stopped[1])
        code = self.process.returncode
        if code == 0:
            return Outcome("ok", *text, seconds, code)
        if code < 0 and self.init is not None:
            return Outcome(
                "sandbox_error", *text, seconds, problem=f"the sandbox was ended by signal {-code}"
            )
        code = 128 - code if code < 0 else code
        verdict, problem = _judge(code, text[1], limits, seconds)
        return Outcome(verdict, *text, seconds, code, problem)

    def _take(self, limits: Limits) -> None:
        for pipe in (self.out, self.err):
            pipe.take(limits.output_bytes + 1)
        for pipe in (self.status, self.info):
            pipe.take(4096)
        if self.init is None and b"\n" in self.info.data:
            self.init = int(json.loads(self.info.data.split(b"\n")[0])["child-pid"])
            try:
                self.init_fd = os.pidfd_open(self.init)
            except ProcessLookupError:
                self.init = 0


def resident_bytes(pid: int) -> int:
    """Return the memory of a process and all below it, pages that they share counted for each."""
    process = Path(f"/proc/{pid}")
    try:
        pages = int((process / "statm").read_text().split()[1])
        threads = os.listdir(process / "task")
    except (OSError, IndexError):  # it has just ended
        return 0
    # Every thread has the children that it started, and may end while its sisters go on.
    children = [child for thread in threads for child in _words(process / "task" / thread / "children")]
    return pages * os.sysconf("SC_PAGE_SIZE") + sum(resident_bytes(int(child)) for child in children)


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []


def _judge(code: int, errors: str, limits: Limits, seconds: float) -> tuple[Verdict, str]:
    killed_late = code == 128 + SIGKILL and seconds >= limits.cpu_seconds
    if code == 128 + SIGXCPU or killed_late:
        return "timeout", f"computed for more than {limits.cpu_seconds} s"
    last = errors.rstrip().rpartition("\n")[2]
    if last.startswith("MemoryError"):
        return "memory", f"wanted more than {limits.memory_bytes >> 20} MiB"
    return "failed", last or f"ended with {code}"
