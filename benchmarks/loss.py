"""Loss over a large vocabulary, forward and backward: whole logits, torch's chunks as it chooses them, ours.

    python benchmarks/loss.py

Times are taken in turns in one process, so that a busy neighbour slows all ways alike; peak memory is
each way's own, in a process of its own. Prints one JSON line a shape and way.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from luban.device import peak_memory_bytes, use_threads
from luban.objectives.vocabulary import summed_cross_entropy

SHAPES = {"8192": (4096, 384, 8192), "49152": (512, 576, 49152)}
WAYS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "whole": lambda h, w, t: F.cross_entropy(F.linear(h, w), t, reduction="sum"),
    "torch's chunks": lambda h, w, t: F.linear_cross_entropy(
        h, w, t, reduction="sum", options=torch.nn.LinearCrossEntropyOptions()
    ),
    "luban": lambda h, w, t: summed_cross_entropy(h, w, None, t),
}
REPEATS = 3


def inputs(shape: str) -> tuple[Tensor, Tensor, Tensor]:
    n, dim, vocab = SHAPES[shape]
    torch.manual_seed(0)
    weight = (torch.randn(vocab, dim) * 0.02).requires_grad_()
    return torch.randn(n, dim, requires_grad=True), weight, torch.randint(vocab, (n,))


def seconds(way: str, given: tuple[Tensor, Tensor, Tensor]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    WAYS[way](*given).backward()
    given[0].grad = given[1].grad = None
    return time.perf_counter() - wall, time.process_time() - cpu


def print_memory(way: str, shape: str) -> None:
    given = inputs(shape)
    before = peak_memory_bytes()
    seconds(way, given)
    print(round((peak_memory_bytes() - before) / 1e6))


def measure_memory(way: str, shape: str) -> int:
    # A child's peak begins at its parent's size, so this comes before the parent has grown.
    command = [sys.executable, __file__, way, shape]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measure_seconds(shape: str) -> list[dict[str, tuple[float, float]]]:
    given = inputs(shape)
    return [{way: seconds(way, given) for way in WAYS} for _ in range(REPEATS + 1)][1:]


def main() -> None:
    threads = use_threads(0)
    memory = {(way, shape): measure_memory(way, shape) for shape in SHAPES for way in WAYS}
    for shape, (n, dim, vocab) in SHAPES.items():
        rounds = measure_seconds(shape)
        for way in WAYS:
            row = {"bench": "loss", "tokens": n, "dim": dim, "vocab": vocab, "way": way}
            for name, i in (("ms", 0), ("cpu_ms", 1)):
                row[name] = round(1e3 * statistics.median(r[way][i] for r in rounds))
            row["cpu_ratio"] = round(statistics.median(r[way][1] / r["whole"][1] for r in rounds), 2)
            row |= {"extra_mb": memory[way, shape], "threads": threads, "torch": torch.__version__}
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    print_memory(*sys.argv[1:]) if len(sys.argv) == 3 else main()
