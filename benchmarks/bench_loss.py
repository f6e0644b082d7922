"""Loss over a large vocabulary, forward and backward: whole logits, torch's chunks, our chunks.

Each way runs in a process of its own, so that its peak memory is its own; prints one JSON line each.
    python benchmarks/bench_loss.py
"""

import json
import statistics
import subprocess
import sys
import time

SHAPES = {"8192": (4096, 384, 8192), "49152": (1024, 576, 49152)}
WAYS = ("plain", "torch", "ours")
REPEATS = 9


def measure(way: str, shape: str) -> None:
    import torch
    from torch.nn import functional as F

    from luban.device import measure_matmul_flops, peak_memory_bytes, use_threads
    from luban.objectives.next_token import summed_cross_entropy

    threads = use_threads(0)
    n, dim, vocab = SHAPES[shape]
    torch.manual_seed(0)
    hidden = torch.randn(n, dim, requires_grad=True)
    weight = (torch.randn(vocab, dim) * 0.02).requires_grad_()
    targets = torch.randint(vocab, (n,))
    ways = {
        "plain": lambda: F.cross_entropy(F.linear(hidden, weight), targets, reduction="sum"),
        "torch": lambda: F.linear_cross_entropy(
            hidden, weight, targets, reduction="sum", options=torch.nn.LinearCrossEntropyOptions()
        ),
        "ours": lambda: summed_cross_entropy(hidden, weight, None, targets),
    }
    peak = measure_matmul_flops(torch.device("cpu"))
    before, seconds = peak_memory_bytes(), []
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        loss = ways[way]()
        loss.backward()
        seconds.append(time.perf_counter() - start)
        hidden.grad = weight.grad = None
    peak = max(peak, measure_matmul_flops(torch.device("cpu")))
    seconds = seconds[1:]
    row = {"bench": "loss", "way": way, "tokens": n, "dim": dim, "vocab": vocab, "loss": loss.item() / n}
    row |= {"ms": round(1e3 * statistics.median(seconds), 1), "best_ms": round(1e3 * min(seconds), 1)}
    row["share_of_matmul_peak"] = round(6 * n * dim * vocab / statistics.median(seconds) / peak, 2)
    row["extra_mb"] = round((peak_memory_bytes() - before) / 1e6)
    print(json.dumps(row | {"threads": threads, "torch": torch.__version__}), flush=True)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        measure(*sys.argv[1:])
    else:
        for shape in SHAPES:
            for way in WAYS * 2:
                subprocess.run([sys.executable, __file__, way, shape], check=True)
