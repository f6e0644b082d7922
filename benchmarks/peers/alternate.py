"""Run several programs that do the same work in turns, block by block, and compare them.

Each side is a process of its own that lives through the whole benchmark; while one works the others
wait, so a neighbour on the machine slows all alike. Sides that cannot run are reported, not fatal.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from peers.turns import MARK

HERE = Path(__file__).parent
OURS = "luban"
LIMIT_SECONDS = 900.0
"""A side that says nothing for so long is ended."""


@dataclass
class Side:
    """One program: a script of this folder, the interpreter that runs it, and what it is told."""

    name: str
    python: str
    script: str
    spec: dict[str, Any]
    problem: str = ""
    first_step_seconds: float = 0.0
    blocks: list[dict[str, float]] = field(default_factory=list)

    def start(self, folder: Path, threads: int) -> None:
        """Start it and wait until it has warmed up."""
        self._process: subprocess.Popen[str] | None = None
        if not shutil.which(self.python):
            self.problem = f"missing: {self.python}"
            return
        spec, log = folder / f"{self.name}.json", folder / f"{self.name}.log"
        spec.write_text(json.dumps({**self.spec, "threads": threads}), "utf-8")
        self._log, start = log, time.monotonic()
        self._process = subprocess.Popen(
            [self.python, str(HERE / self.script), str(spec)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log.open("w"),
            text=True,
            env={**os.environ, **environment(threads)},
        )
        if self._hear("first"):
            self.first_step_seconds = time.monotonic() - start
            self._hear("ready")

    def work(self) -> None:
        """Let it do one block."""
        if self._process and not self.problem:
            assert self._process.stdin
            self._process.stdin.write("go\n")
            self._process.stdin.flush()
            if said := self._hear("block"):
                self.blocks.append(said)

    def end(self) -> None:
        """Let it go."""
        if self._process:
            assert self._process.stdin
            try:
                self._process.stdin.close()
                self._process.wait(30)
            except (BrokenPipeError, subprocess.TimeoutExpired):
                self._process.kill()
                self._process.wait()

    def _hear(self, event: str) -> dict[str, Any] | None:
        process = self._process
        assert process
        assert process.stdout
        watchdog = threading.Timer(LIMIT_SECONDS, process.kill)
        watchdog.start()
        try:
            for line in process.stdout:
                if line.startswith(MARK):
                    said: dict[str, Any] = json.loads(line[len(MARK) :])
                    if said["event"] == event:
                        return said
        finally:
            watchdog.cancel()
        tail = self._log.read_text("utf-8").strip().splitlines()[-1:]
        self.problem = f"ended before {event!r}: {''.join(tail)[:300]}"
        return None


def environment(threads: int) -> dict[str, str]:
    """Return what every side's environment has: threads, and no look at the network."""
    return {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "WANDB_MODE": "disabled",
    }


def alternate(sides: list[Side], folder: Path, rounds: int, threads: int) -> dict[str, Any]:
    """Warm every side up, let them work in turns, and return their figures."""
    try:
        for side in sides:
            side.start(folder, threads)
        for i in range(rounds):
            for side in sides if i % 2 == 0 else sides[::-1]:
                side.work()
    finally:
        for side in sides:
            side.end()
    return {side.name: figures(side, sides[0]) for side in sides}


def figures(side: Side, ours: Side, unit: str = "tokens") -> dict[str, Any]:
    """Return a side's medians, and ours ÷ its speed pair by pair; more than 1: ours is faster."""
    if side.problem or not side.blocks:
        return {"problem": side.problem or "no block"}
    rates = [b[unit] / b["seconds"] for b in side.blocks]
    peak = max(b["peak_mb"] for b in side.blocks)
    total = {k: sum(b[k] for b in side.blocks) for k in ("tokens", "supervised", "places")}
    row: dict[str, Any] = {
        "tokens_per_second": round(statistics.median(rates), 1),
        "supervised_per_second": round(
            statistics.median(b["supervised"] / b["seconds"] for b in side.blocks), 1
        ),
        "padding": round(1 - total["tokens"] / total["places"], 3),
        "cores_busy": round(statistics.median(b["cpu_seconds"] / b["seconds"] for b in side.blocks), 2),
        "peak_mb": round(peak),
        "first_step_seconds": round(side.first_step_seconds, 2),
    }
    if side is not ours and ours.blocks:
        pairs = list(zip(ours.blocks, side.blocks, strict=False))
        for name, clock in (("ratios", "seconds"), ("cpu_ratios", "cpu_seconds")):
            row[name] = [round(a[unit] / a[clock] * b[clock] / b[unit], 3) for a, b in pairs]
        row["ratio"] = round(statistics.median(row["ratios"]), 3)
        row["cpu_ratio"] = round(statistics.median(row.pop("cpu_ratios")), 3)
        row["memory_ratio"] = round(max(b["peak_mb"] for b in ours.blocks) / peak, 3)
        row["first_step_ratio"] = round(ours.first_step_seconds / side.first_step_seconds, 3)
    return row


def arguments(doc: str | None, **defaults: int) -> argparse.ArgumentParser:
    """Return a parser with the options that every peer benchmark has."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=defaults["rounds"])
    parser.add_argument("--block", type=int, default=defaults["block"], help="steps of a turn")
    parser.add_argument("--warm-up", type=int, default=2, help="steps before the first turn")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    return parser


def ours(arguments: list[str], asked: argparse.Namespace) -> Side:
    """Return our side: a `luban` command line."""
    return Side(OURS, sys.executable, "luban_side.py", {"arguments": arguments, **turns(asked)})


def turns(asked: argparse.Namespace) -> dict[str, int]:
    """Return what `Turns` is made from."""
    return {"warm_up": asked.warm_up, "block": asked.block}


def show(bench: str, what: dict[str, Any], sides: dict[str, Any], threads: int) -> None:
    """Print the one line of JSON."""
    machine = {"threads": threads, "cpu": platform.processor() or platform.machine()}
    print(json.dumps({"bench": bench, **what, "sides": sides, **machine}), flush=True)
