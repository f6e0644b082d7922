"""How a benchmark's child process takes its turns: it works a block of steps each time it is told to.

Used by our side and by every peer, so it needs nothing but Python. A child prints lines that begin with
MARK; everything else it prints is its own affair. In: "go" for one more block; anything else ends it.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

MARK = "@turn "


class Turns:
    """Counts optimizer steps; a peer calls `step` after each of them."""

    def __init__(self, warm_up: int, block: int):
        self._warm_up, self._block = warm_up, block
        self._n_steps = self._n_tokens = self._n_supervised = self._n_places = 0
        self._wall = self._cpu = 0.0

    def count(self, tokens: int, supervised: int, places: int) -> None:
        """Add what one forward pass is given: real tokens, targets, places for tokens."""
        self._n_tokens += tokens
        self._n_supervised += supervised
        self._n_places += places

    def step(self) -> None:
        """Note a step; at the end of a block report it and wait; leave by SystemExit at the last one."""
        self._n_steps += 1
        if self._n_steps == 1:
            self._say(event="first")
        if self._n_steps < self._warm_up or (self._n_steps - self._warm_up) % self._block:
            return
        if self._n_steps == self._warm_up:
            self._say(event="ready")
        else:
            self._say(
                event="block",
                seconds=time.perf_counter() - self._wall,
                cpu_seconds=time.process_time() - self._cpu,
                tokens=self._n_tokens,
                supervised=self._n_supervised,
                places=self._n_places,
                peak_mb=_peak_mb(),
            )
        if sys.stdin.readline().strip() != "go":
            raise SystemExit(0)
        self._n_tokens = self._n_supervised = self._n_places = 0
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def _say(self, **what: Any) -> None:
        print("\n" + MARK + json.dumps(what), flush=True)  # a progress bar may have left half a line


def spec() -> dict[str, Any]:
    """Return what the parent asks for: the JSON file named by the first argument."""
    return json.loads(Path(sys.argv[1]).read_text("utf-8"))


def _peak_mb() -> float:
    """Most resident memory of this program alone; getrusage would begin at its parent's."""
    status = Path("/proc/self/status")
    if status.is_file():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024
    import resource

    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
