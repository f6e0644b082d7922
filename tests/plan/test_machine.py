from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from luban.device import available_cores
from luban.plan import machine
from luban.plan.machine import matmul_rate, read_memory, usable_cores

GIB = 1 << 30


@pytest.fixture
def meminfo(tmp_path: Path) -> Path:
    path = tmp_path / "meminfo"
    path.write_text("MemTotal: 16777216 kB\nMemFree: 1 kB\nMemAvailable: 8388608 kB\n")
    return path


def test_a_machine_without_a_container_counts_whole(tmp_path: Path, meminfo: Path) -> None:
    assert read_memory(tmp_path, meminfo) == machine.Memory(16 * GIB, 8 * GIB)
    assert usable_cores(tmp_path) == available_cores()


def test_a_container_limits_cores_and_memory(tmp_path: Path, meminfo: Path) -> None:
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    (tmp_path / "memory.max").write_text(f"{4 * GIB}\n")
    (tmp_path / "memory.current").write_text(f"{3 * GIB}\n")
    (tmp_path / "memory.stat").write_text(f"anon 5\ninactive_file {GIB}\n")
    assert usable_cores(tmp_path) == 0.5
    assert read_memory(tmp_path, meminfo) == machine.Memory(4 * GIB, 2 * GIB, limited=True)


def test_older_containers_are_read_too(tmp_path: Path, meminfo: Path) -> None:
    for name, text in {
        "cpu/cpu.cfs_quota_us": "25000",
        "cpu/cpu.cfs_period_us": "100000",
        "memory/memory.limit_in_bytes": str(2 * GIB),
        "memory/memory.usage_in_bytes": str(GIB),
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert usable_cores(tmp_path) == 0.25
    assert read_memory(tmp_path, meminfo) == machine.Memory(2 * GIB, GIB, limited=True)


def test_no_limit_is_no_limit(tmp_path: Path, meminfo: Path) -> None:
    (tmp_path / "cpu.max").write_text("max 100000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert usable_cores(tmp_path) == available_cores()
    assert read_memory(tmp_path, meminfo) == machine.Memory(16 * GIB, 8 * GIB)


def test_the_matmul_rate_is_measured_once_and_again_when_it_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = iter([1e9, 2e9, 3e9])
    monkeypatch.setattr(machine, "_measure", lambda: next(rates))
    assert [matmul_rate(), matmul_rate()] == [1e9, 1e9]
    path = Path(os.environ["LUBAN_HOME"]) / "matmul.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "measured": 0}))
    assert [matmul_rate(), matmul_rate()] == [2e9, 2e9]
    path.write_text("not JSON")
    assert matmul_rate() == 3e9


def test_a_measured_rate_is_that_of_a_real_machine() -> None:
    pytest.importorskip("numpy")
    assert 1e8 < machine._measure(seconds=0.001) < 1e15
