"""CPU seconds of `luban --help` and of every verb's help. Prints one JSON line a command.

python benchmarks/cli_start.py
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys

from luban.cli.main import VERBS

REPEATS = 5


def cpu_seconds(arguments: list[str]) -> float:
    """User and system time of one start, children excluded."""
    process = subprocess.Popen([sys.executable, "-m", "luban", *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, arguments
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    for arguments in [["--help"], *([verb, "--help"] for verb in VERBS)]:
        cpu_seconds(arguments)  # warm up: byte code and disk cache
        seconds = [cpu_seconds(arguments) for _ in range(REPEATS)]
        row = {
            "bench": "cli_start",
            "command": " ".join(["luban", *arguments]),
            "unit": "CPU s",
            "value": round(statistics.median(seconds), 3),
            "spread": round((max(seconds) - min(seconds)) / statistics.median(seconds), 2),
            "repeats": REPEATS,
            "python": platform.python_version(),
            "cpu": platform.processor() or platform.machine(),
        }
        print(json.dumps(row))


if __name__ == "__main__":
    main()
