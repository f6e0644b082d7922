"""The first process says what comes next; the others wait as long as it takes, and can be stopped."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor

PATIENCE = timedelta(days=1)
"""The first process may have data to prepare; if it dies, its connection ends the wait at once."""
POLL_SECONDS = 0.05


class Announcements:
    """A group of all processes in which only the first one speaks. All must make it at the same time."""

    def __init__(self) -> None:
        import torch.distributed as dist

        self._group = dist.new_group(backend="gloo", timeout=PATIENCE)

    def tell(self, value: Any) -> None:
        """Send a value, of what JSON can hold, to all others."""
        data = json.dumps(value).encode()
        self._send(torch.tensor(len(data)))
        self._send(torch.frombuffer(bytearray(data), dtype=torch.uint8))

    def hear(self) -> Any:
        """Wait for the first process to say something."""
        size = self._send(torch.tensor(0))
        return json.loads(bytes(self._send(torch.empty(int(size), dtype=torch.uint8)).tolist()))

    def _send(self, tensor: Tensor) -> Tensor:
        import torch.distributed as dist

        work = dist.broadcast(tensor, src=0, group=self._group, async_op=True)
        assert work is not None
        while not work.is_completed():  # a signal reaches Python only between its own steps
            time.sleep(POLL_SECONDS)
        work.wait()
        return tensor
