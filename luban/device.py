"""The machine: device, threads, seeds, memory, and the measured matmul peak."""

from __future__ import annotations

import os
import resource
import sys
import time
from typing import TYPE_CHECKING

from luban.errors import ConfigError

if TYPE_CHECKING:
    import torch


def choose_device(name: str = "auto") -> torch.device:
    """Return the accelerator that torch reports, else the CPU; or the device named, if it is there."""
    import torch

    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if name == "auto":
        return found or torch.device("cpu")
    n_found = torch.accelerator.device_count() if found else 0
    try:
        device = torch.device(name)
    except RuntimeError:
        raise _no_device(name, found, n_found) from None
    is_there = found is not None and device.type == found.type and (device.index or 0) < n_found
    if device.type != "cpu" and not is_there:
        raise _no_device(name, found, n_found)
    return device


def _no_device(name: str, found: torch.device | None, n_found: int) -> ConfigError:
    there = ["auto", "cpu", *([found.type] if found else [])]
    there += [f"{found.type}:{i}" for i in range(n_found)] if found and n_found > 1 else []
    also = "" if found else "; torch sees no accelerator here"
    return ConfigError(f"device = {name} is not on this machine{also}", fix=f"use one of: {', '.join(there)}")


def is_fast_at_bf16(device: torch.device) -> bool:
    """Whether matrix products are faster in bf16 than in float32; a CPU needs tiles (AMX) for that."""
    import torch

    if device.type == "cpu":
        return bool(torch.cpu.get_capabilities().get("amx_bf16"))
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "xpu"


def sum_dtype(device: torch.device) -> torch.dtype:
    """Return the widest floating-point type of a device, for sums of many numbers."""
    import torch

    return torch.float32 if device.type == "mps" else torch.float64


def own_part(tensor: torch.Tensor) -> torch.Tensor:
    """Return what this process holds of a tensor that may be spread over several (a DTensor)."""
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor


def is_on_host(tensor: torch.Tensor) -> bool:
    """Whether a tensor lies in this machine's own memory."""
    return tensor.device.type == "cpu"


def host_copy(tensor: torch.Tensor, buffer: torch.Tensor | None = None) -> torch.Tensor:
    """Start to copy a tensor into this machine's memory, into `buffer` if it fits; `synchronize` ends it."""
    import torch

    if buffer is None or buffer.shape != tensor.shape or buffer.dtype != tensor.dtype:
        is_pinned = tensor.device.type == "cuda"  # which copies several times as fast
        buffer = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=is_pinned)
    return buffer.copy_(tensor.detach(), non_blocking=True)


def seed_step(seed: int, step: int, part: int = 0) -> None:
    """Seed every generator from (seed, step) and the number of a part of that step.

    A resumed run so draws the same noise, and so does a part wherever it is computed.
    """
    import torch

    torch.manual_seed((seed * 1_000_003 + step * 7_919 + part * 15_485_863) % (1 << 63))


def use_threads(n_threads: int) -> int:
    """Use `n_threads` CPU threads (0: this process's share of the cores here); return the number."""
    import torch

    n_processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    torch.set_num_threads(n_threads or max(1, available_cores() // n_processes))
    return torch.get_num_threads()


def available_cores() -> int:
    """Cores this process may run on, which a container may limit."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def peak_memory_bytes() -> int:
    """Most resident memory this process has had."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def memory_bytes(device: torch.device) -> int:
    """Memory in use now: an accelerator's own, else what of this process is resident."""
    import torch

    if device.type != "cpu":
        return torch.accelerator.memory_allocated(device)
    if os.path.exists("/proc/self/statm"):
        with open("/proc/self/statm", "rb") as f:
            return int(f.read().split()[1]) * resource.getpagesize()
    return peak_memory_bytes()


def peak_device_memory_bytes(device: torch.device) -> int:
    """Most memory of an accelerator that this process has had; 0 where there is none."""
    import torch

    return 0 if device.type == "cpu" else torch.accelerator.max_memory_allocated(device)


def synchronize(device: torch.device) -> None:
    """Wait until an accelerator has finished, so that a timer reads true."""
    import torch

    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def measure_matmul_flops(
    device: torch.device, size: int = 0, seconds: float = 0.25, dtype: torch.dtype | None = None
) -> float:
    """Return the best matmul rate seen now, in floating-point operations per second (float32 by itself).

    Neighbours on a shared machine change it, so measure in the run that quotes it. A product of size 0 is
    as large as fills the device.
    """
    import torch

    size = size or (1024 if device.type == "cpu" else 8192)
    own = torch.Generator(device).manual_seed(0)  # leaves the run's draws alone
    a = torch.randn(size, size, device=device, dtype=dtype, generator=own)
    best, until = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < until or not best:
        start = time.perf_counter()
        a @ a
        synchronize(device)
        best = max(best, 2 * size**3 / (time.perf_counter() - start))
    return best
