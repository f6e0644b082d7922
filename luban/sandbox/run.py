"""Run a program that nobody has read: alone, within limits, and with nothing left of it afterwards."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath

from luban.errors import ConfigError
from luban.sandbox.bubblewrap import check_platform, command, own_user
from luban.sandbox.interpreter import PLACE
from luban.sandbox.limits import Limits, Outcome
from luban.sandbox.syscalls import filter_program
from luban.sandbox.watch import Pipe, Watched

Runner = Callable[[Mapping[str, str | bytes], Sequence[str], Limits], Outcome]
PYTHON = (f"{PLACE}/bin/python", "-E", "-s", "-S", "-B", "-X", "utf8")


def run_in_sandbox(
    files: Mapping[str, str | bytes], arguments: Sequence[str], limits: Limits | None = None
) -> Outcome:
    """Run `python ARGUMENTS` among `files` in a sandbox, and say what became of it.

    run_in_sandbox({"main.py": "print(1)"}, ["main.py"]).stdout == "1\\n"
    """
    check_platform()
    limits = limits or Limits()
    with ExitStack() as stack:
        filter_fd = stack.enter_context(_in_memory(filter_program()))
        fds = {name: stack.enter_context(_in_memory(as_bytes(files[name]))) for name in checked_names(files)}
        out, err, status, info = (stack.enter_context(Pipe()) for _ in range(4))
        user = stack.enter_context(own_user())
        program = within(limits, status.write_end, [*PYTHON, *arguments])
        line = command(program, fds, limits, user, filter_fd, info.write_end)
        started = time.monotonic()
        process = subprocess.Popen(
            line,
            stdin=subprocess.DEVNULL,
            stdout=out.write_end,
            stderr=err.write_end,
            env={},
            cwd="/",
            pass_fds=[status.write_end, info.write_end, filter_fd, *fds.values()],
            start_new_session=True,
        )
        for pipe in (out, err, status, info):
            pipe.close_write_end()
        return Watched(process, out, err, status, info).outcome(limits, started)


def within(limits: Limits, status_fd: int, program: list[str]) -> list[str]:
    """Return the command that sets the limits and then becomes `program`, by the same interpreter."""
    first = Path(__file__).with_name("inside.py").read_text("utf-8")
    values = ",".join(f"{name}:{soft}:{hard}" for name, (soft, hard) in limits.of_process.items())
    return [program[0], "-I", "-S", "-c", first, str(status_fd), values, *program]


def checked_names(files: Mapping[str, str | bytes]) -> list[str]:
    """Return the names of files; refuse those that would not lie below the working folder."""
    for name in files:
        path = PurePosixPath(name)
        if not name or path.is_absolute() or ".." in path.parts or "\0" in name:
            raise ConfigError(f"{name!r} is no name of a file in a sandbox", fix="use names such as main.py")
    return list(files)


def as_bytes(content: str | bytes) -> bytes:
    """Return the bytes of a file; half of a surrogate pair, which no file can hold, becomes "?"."""
    return content if isinstance(content, bytes) else content.encode("utf-8", "replace")


@contextmanager
def _in_memory(data: bytes) -> Iterator[int]:
    """Lend an open file with these bytes that is on no disk."""
    fd = os.memfd_create("luban")
    try:
        with open(fd, "wb", closefd=False) as file:
            file.write(data)
        os.lseek(fd, 0, os.SEEK_SET)
        yield fd
    finally:
        os.close(fd)
