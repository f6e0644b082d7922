"""Prepare the next step's batches while the current step computes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from luban.records import Batch


class Batches(Protocol):
    """A source whose micro-batches are a pure function of the step, so that resume needs no state."""

    def at(self, step: int) -> list[Batch]:
        """Return the micro-batches of a step; steps count from 1. Must not draw from torch's generator."""
        ...


def ahead(batches: Batches, steps: range) -> Iterator[tuple[int, list[Batch]]]:
    """Yield (step, micro-batches), one step prepared in advance; errors surface at their step.

    Batches that the model itself writes (`by_model`) wait for the weights of the step before.
    """
    if getattr(batches, "by_model", False):
        for step in steps:
            yield step, batches.at(step)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as worker:
        coming = worker.submit(batches.at, steps[0]) if steps else None
        for step in steps:
            assert coming is not None
            micro_batches = coming.result()
            if step + 1 in steps:
                coming = worker.submit(batches.at, step + 1)
            yield step, micro_batches
