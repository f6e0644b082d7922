"""Peak memory of one training step over a vocabulary of 150,000: the chunked loss against whole logits.

    python benchmarks/vocabulary_memory.py

Each measurement is a process of its own, taken in turns; medians count. A step is forward and backward of
one small Transformer, so that weights and gradients are in the figure as they are in training. `extra` is
what the step adds to the process that holds model and batch. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from luban.device import peak_memory_bytes, use_threads
from luban.models.build import build_model
from luban.models.families import FAMILIES
from luban.objectives.next_token import next_token
from luban.records import Batch


def whole_logits(model: nn.Module, batch: Batch) -> torch.Tensor:
    logits = model(batch.tokens, batch.documents)
    return F.cross_entropy(logits.flatten(0, 1), batch.targets.flatten(), reduction="sum")


WAYS: dict[str, Callable[[nn.Module, Batch], torch.Tensor]] = {
    "chunked": lambda model, batch: next_token(model, batch).total,
    "whole": whole_logits,
}


def measure(way: str, vocab: int, dim: int, n_tokens: int) -> dict[str, float]:
    """Take one step in this process."""
    use_threads(1)
    sizes = {"dim": dim, "n_layers": 1, "n_heads": 4, "n_kv_heads": 4, "max_len": 256}
    model = build_model(FAMILIES["llama"].config("tiny", vocab_size=vocab, **sizes))
    tokens = torch.randint(vocab, (n_tokens // 256, 256))
    batch = Batch(tokens, torch.ones_like(tokens), tokens.roll(-1, 1))
    before, start = peak_memory_bytes(), time.process_time()
    WAYS[way](model, batch).backward()
    return {
        "peak": peak_memory_bytes(),
        "extra": peak_memory_bytes() - before,
        "cpu": time.process_time() - start,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vocab", type=int, default=150_000)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--way", choices=WAYS, help="measure this one here, once")
    asked = parser.parse_args()
    shape = (asked.vocab, asked.dim, asked.tokens)
    if asked.way:
        print(json.dumps(measure(asked.way, *shape)))
        return
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for _ in range(asked.rounds):
        for way in WAYS:
            options = zip(("--vocab", "--dim", "--tokens"), map(str, shape), strict=True)
            command = [sys.executable, __file__, "--way", way, *(word for pair in options for word in pair)]
            result = subprocess.run(command, check=True, capture_output=True, text=True)
            found[way].append(json.loads(result.stdout))
    median = {
        way: {name: statistics.median(row[name] for row in rows) for name in rows[0]}
        for way, rows in found.items()
    }
    row = {"bench": "vocabulary_memory", "vocab": asked.vocab, "dim": asked.dim, "tokens": asked.tokens}
    row |= {f"{way}_peak_mb": round(m["peak"] / 1e6) for way, m in median.items()}
    row |= {f"{way}_extra_mb": round(m["extra"] / 1e6) for way, m in median.items()}
    row |= {
        f"{name}_ratio": round(median["chunked"][name] / median["whole"][name], 3)
        for name in ("peak", "extra", "cpu")
    }
    print(json.dumps(row | {"rounds": asked.rounds, "torch": torch.__version__}))


if __name__ == "__main__":
    main()
