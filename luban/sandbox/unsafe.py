"""Run a program with no sandbox around it, for machines that can be thrown away afterwards.

It has the time and output limits of the sandbox, and nothing else: it reads and writes what the user can,
reaches the network, and may leave processes behind.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from luban.sandbox.limits import Limits, Outcome
from luban.sandbox.run import as_bytes, checked_names, within
from luban.sandbox.watch import Pipe, Watched

WARNING = (
    "--unsafe-exec: programs that a model wrote run WITHOUT a sandbox, with all your rights: "
    "they can read and delete your files and use your network"
)


def run_without_sandbox(
    files: Mapping[str, str | bytes], arguments: Sequence[str], limits: Limits | None = None
) -> Outcome:
    """Run `python ARGUMENTS` among `files` in a temporary folder, with all the rights of the user."""
    limits = limits or Limits()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for name in checked_names(files):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(as_bytes(files[name]))
        out, err, status, info = (stack.enter_context(Pipe()) for _ in range(4))
        python = [sys.executable, "-E", "-s", "-B", "-X", "utf8"]
        started = time.monotonic()
        process = subprocess.Popen(
            within(limits, status.write_end, [*python, *arguments]),
            stdin=subprocess.DEVNULL,
            stdout=out.write_end,
            stderr=err.write_end,
            cwd=folder,
            pass_fds=[status.write_end],
            start_new_session=True,
        )
        for pipe in (out, err, status, info):
            pipe.close_write_end()
        return Watched(process, out, err, status, info).outcome(limits, started)
