"""A few processes that wait for work, so that torch is imported once for all tests of several ranks."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import socket
import traceback
from collections.abc import Callable
from typing import Any

SECONDS = 60
"""More than any job here takes; a hang is an error, not a wait."""


class Crew:
    """Starts workers when they are first needed; each call is a job of its own, with its own groups."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["tests.train.crew_imports"])
        self._workers: list[tuple[Any, Any]] = []

    def run(self, n: int, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Call a module's function in `n` processes, each with torchrun's environment; return by rank."""
        while len(self._workers) < n:
            here, there = self._context.Pipe()
            process = self._context.Process(target=_work, args=(there,), daemon=True)
            process.start()
            self._workers.append((process, here))
        port = _free_port()
        for rank in range(n):
            place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": n}
            place |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
            self._workers[rank][1].send_bytes(pickle.dumps((place, function, arguments)))
        return [self._answer(rank) for rank in range(n)]

    def _answer(self, rank: int) -> Any:
        pipe = self._workers[rank][1]
        if not pipe.poll(SECONDS):
            self.close()
            raise TimeoutError(f"rank {rank} did not answer within {SECONDS} s")
        is_well, value = pickle.loads(pipe.recv_bytes())
        if not is_well:
            self.close()  # the others may wait for this one
            raise AssertionError(f"rank {rank}: {value}")
        return value

    def close(self) -> None:
        """End the workers."""
        for process, pipe in self._workers:
            pipe.close()
            process.kill()
            process.join()
        self._workers = []


def _work(pipe: Any) -> None:
    import torch

    torch.set_num_threads(1)
    while True:
        try:
            place, function, arguments = pickle.loads(pipe.recv_bytes())
        except EOFError:
            return
        os.environ.update({key: str(value) for key, value in place.items()})
        try:
            answer = (True, function(*arguments))
        except BaseException:
            answer = (False, traceback.format_exc())
        pipe.send_bytes(pickle.dumps(answer))


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])
