"""A process that applies functions to tables: `python -m luban.data.worker`, spoken to through its pipes.

It imports what the functions need and nothing of the program that started it, so a script needs no
`if __name__ == "__main__"`. It ends when its input does: a driver that dies leaves none behind.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import traceback
from typing import IO, Any


class WorkerDied(Exception):
    """The process ended before it answered."""


class WorkFailed(Exception):
    """The function raised what cannot be sent back; the text is its traceback."""


class Worker:
    """One such process, from the driver's side."""

    def __init__(self) -> None:
        self._function: bytes | None = None
        threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "ARROW_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "luban.data.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **threads, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        )

    def call(self, function: bytes, argument: Any) -> Any:
        """Return what the pickled function makes of the argument."""
        new = None if function is self._function else function  # it may be large: it is sent once
        try:
            _write(self._input, pickle.dumps((new, argument), protocol=5))
            self._function = function
            outcome, value = pickle.loads(_read(self._output))
        except (EOFError, OSError) as e:
            code = self._process.wait()
            raise WorkerDied(f"a worker process ended with {code}") from e
        if outcome == "error":
            raise value
        return value

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        for pipe in (self._input, self._output):
            pipe.close()
        self._process.wait()

    @property
    def _input(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def _output(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout


def _write(pipe: IO[bytes], data: bytes) -> None:
    pipe.write(len(data).to_bytes(8, "little"))
    pipe.write(data)
    pipe.flush()


def _read(pipe: IO[bytes]) -> bytes:
    size = pipe.read(8)
    if len(size) < 8:
        raise EOFError
    data = pipe.read(int.from_bytes(size, "little"))
    if len(data) < int.from_bytes(size, "little"):
        raise EOFError
    return data


def _serve() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides what ctrl-C means
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not get between the answers
    requests = sys.stdin.buffer
    function: Any = None
    while True:
        try:
            pickled, argument = pickle.loads(_read(requests))
        except EOFError:
            return
        try:
            if pickled is not None:
                function = pickle.loads(pickled)
            answer = pickle.dumps(("value", function(argument)), protocol=5)
        except Exception as e:
            answer = _failure(e)
        try:
            _write(answers, answer)
        except BrokenPipeError:  # the driver is gone
            os._exit(1)


def _failure(error: Exception) -> bytes:
    try:
        pickled = pickle.dumps(("error", error))
        pickle.loads(pickled)
        return pickled
    except Exception:
        return pickle.dumps(("error", WorkFailed("".join(traceback.format_exception(error)))))


if __name__ == "__main__":
    # Under its own name, so that what is pickled here can be unpickled by the driver.
    from luban.data.worker import _serve as serve

    serve()
