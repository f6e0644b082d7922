"""Cores, memory and matmul rate that this process may really use, a container's limits included."""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

from luban.device import available_cores
from luban.errors import DiskError
from luban.files import write_json
from luban.places import home_folder

CGROUPS = Path("/sys/fs/cgroup")
RATE_IS_GOOD_FOR_SECONDS = 7 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of main memory; `limited` says that a container allows less than the machine has."""

    total: int
    free: int
    limited: bool = False


def usable_cores(cgroups: Path = CGROUPS) -> float:
    """Return how many cores' worth of time this process may use; a container may allow half a core."""
    limits = [float(available_cores())]
    for folder in _own_groups(cgroups):
        with contextlib.suppress(OSError, ValueError):
            quota, period = (folder / "cpu.max").read_text().split()
            limits.append(float(quota) / float(period))  # "max" is no number: no limit
        with contextlib.suppress(OSError, ValueError):
            quota = (folder / "cpu" / "cpu.cfs_quota_us").read_text()
            if float(quota) > 0:
                limits.append(float(quota) / float((folder / "cpu" / "cpu.cfs_period_us").read_text()))
    return min(limits)


def read_memory(cgroups: Path = CGROUPS, meminfo: Path = Path("/proc/meminfo")) -> Memory | None:
    """Return total and free memory, the smallest of the machine's and the container's; None if unknown."""
    total, free = _machine_memory(meminfo)
    if not total:
        return None
    memory = Memory(total, free)
    for folder in _own_groups(cgroups):
        for limit_name, used_name in (
            ("memory.max", "memory.current"),
            ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
        ):
            with contextlib.suppress(OSError, ValueError):
                limit = int((folder / limit_name).read_text())
                used = int((folder / used_name).read_text()) - _reclaimable(folder)
                if limit < memory.total:
                    memory = Memory(limit, max(0, min(memory.free, limit - used)), limited=True)
    return memory


def _own_groups(cgroups: Path) -> list[Path]:
    own = ""
    with contextlib.suppress(OSError):
        lines = Path("/proc/self/cgroup").read_text().splitlines()
        own = next((line[3:] for line in lines if line.startswith("0::")), "")
    folder = cgroups / own.strip("/")
    return [folder, *(p for p in folder.parents if p.is_relative_to(cgroups))]


def _reclaimable(group: Path) -> int:
    """Bytes of file cache in a group: they count as used but are given back on demand."""
    for name in ("memory.stat", "memory/memory.stat"):
        with contextlib.suppress(OSError, ValueError):
            rows = dict(line.split() for line in (group / name).read_text().splitlines())
            return int(rows.get("inactive_file", 0))
    return 0


def _machine_memory(meminfo: Path) -> tuple[int, int]:
    try:
        rows = dict(line.split(":", 1) for line in meminfo.read_text().splitlines() if ":" in line)
        size = {name: int(rows[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable")}
        return size["MemTotal"], size["MemAvailable"]
    except (OSError, KeyError, ValueError):
        names = os.sysconf_names if hasattr(os, "sysconf_names") else {}
        if "SC_PHYS_PAGES" not in names:
            return 0, 0
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return total, total  # macOS does not say what is free without a system call of its own


def matmul_rate() -> float:
    """Return float32 matmul operations per second, measured by numpy once a week and remembered."""
    path = home_folder() / "matmul.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        known = json.loads(path.read_text("utf-8"))
        fresh = 0 <= time.time() - known["measured"] < RATE_IS_GOOD_FOR_SECONDS
        if fresh and known["cores"] == usable_cores() and math.isfinite(known["rate"]) and known["rate"] > 0:
            return float(known["rate"])
    rate = _measure()
    with contextlib.suppress(
        OSError, DiskError
    ):  # a home that cannot be written costs a measurement each time
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"rate": rate, "cores": usable_cores(), "measured": time.time()})
    return rate


def _measure(seconds: float = 0.2) -> float:
    """Best rate of one core on matrices that stay in its cache, times the cores.

    They are too small for the BLAS to share among threads, whose waiting for each other on a busy
    machine would make the figure a tenth of what it is when the machine is quiet.
    """
    import numpy as np

    size = 96
    a = np.ones((size, size), dtype=np.float32)
    out = np.empty_like(a)
    best, until = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < until or not best:
        start = time.perf_counter()
        np.matmul(a, a, out=out)
        best = max(best, 2 * size**3 / (time.perf_counter() - start))
    return best * usable_cores()
