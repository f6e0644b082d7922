"""Steps counted on through epochs that are planned one by one and need not be of one length."""

from __future__ import annotations

import bisect
import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Part = TypeVar("Part")


class Epochs(Generic[Part]):
    """What each step reads, where an epoch is a plan: a sequence with a part for every step of it.

    `plan` maps an epoch, from 0, to its plan, a pure function. Any thread may ask.
    """

    def __init__(self, plan: Callable[[int], Sequence[Part]]):
        self._make = plan
        self._first_steps = [0]  # how many steps came before each epoch; grows as epochs are reached
        self._kept: tuple[int, Sequence[Part]] = (-1, ())
        self._lock = threading.Lock()
        self.steps_per_epoch = len(self._plan(0))

    def at(self, step: int) -> Part:
        """Return the part of a step, counted from 1; steps tile the epochs exactly."""
        with self._lock:
            while self._first_steps[-1] < step:
                self._first_steps.append(self._first_steps[-1] + len(self._plan(len(self._first_steps) - 1)))
            epoch = bisect.bisect_left(self._first_steps, step) - 1
            return self._plan(epoch)[step - 1 - self._first_steps[epoch]]

    def _plan(self, epoch: int) -> Sequence[Part]:
        """Return an epoch's plan; the last one asked for is kept."""
        if self._kept[0] != epoch:
            self._kept = (epoch, self._make(epoch))
        return self._kept[1]
