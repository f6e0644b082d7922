"""The machine: device, threads, seeds, memory, and the measured matmul peak."""

from __future__ import annotations

import os
import resource
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def choose_device(name: str = "auto") -> torch.device:
    """Return the accelerator that torch reports, else the CPU; or the device named."""
    import torch

    if name != "auto":
        return torch.device(name)
    if torch.accelerator.is_available():
        return torch.accelerator.current_accelerator()  # type: ignore[return-value]
    return torch.device("cpu")


def seed_step(seed: int, step: int) -> None:
    """Seed every generator from (seed, step), so that a resumed run draws the same noise."""
    import torch

    torch.manual_seed((seed * 1_000_003 + step * 7_919) % (1 << 63))


def use_threads(n_threads: int) -> int:
    """Use `n_threads` CPU threads (0: as many as this process may run on); return the number."""
    import torch

    torch.set_num_threads(n_threads or available_cores())
    return torch.get_num_threads()


def available_cores() -> int:
    """Cores this process may run on, which a container may limit."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def peak_memory_bytes() -> int:
    """Most resident memory this process has had."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def synchronize(device: torch.device) -> None:
    """Wait until an accelerator has finished, so that a timer reads true."""
    import torch

    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def measure_matmul_flops(device: torch.device, size: int = 1024, seconds: float = 0.25) -> float:
    """Return the best float32 matmul rate seen now, in floating-point operations per second.

    Neighbours on a shared machine change it, so measure in the run that quotes it.
    """
    import torch

    a = torch.randn(size, size, device=device)
    best, until = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < until or not best:
        start = time.perf_counter()
        a @ a
        synchronize(device)
        best = max(best, 2 * size**3 / (time.perf_counter() - start))
    return best
