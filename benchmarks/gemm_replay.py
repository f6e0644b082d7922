"""One pre-training step ÷ a replay of its matrix products alone, in turns in one process.

    python benchmarks/gemm_replay.py [--size 124m] [--threads 1]

The products of one step are noted as they are called, shapes and strides, then called again on operands
that lie ready, results written over. What a step takes more is memory, other kernels, and Python. The
replay counts products of linear layers and of the loss; `over_gemm_and_attention` also replays the fused
attention kernels. The step is the training loop's own, with clipping and AdamW. One JSON line.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from pretrain_peers import LR, SIZES, WEIGHT_DECAY, write_shards
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from luban.data.batches import PackedWindows
from luban.models.build import build_model
from luban.models.families import FAMILIES
from luban.objectives.next_token import next_token
from luban.objectives.vocabulary import CHUNK_BYTES
from luban.optim.build import build_optimizer
from luban.optim.schedules import lr_at
from luban.train.engine import Course, train
from luban.train.settings import TrainSettings

PRODUCTS = ("aten.mm.", "aten.addmm.", "aten.bmm.", "aten.baddbmm.")
ATTENTION, LOSS = "attention", "linear_cross_entropy"
Shape = tuple[int, int]
Call = tuple[Any, tuple[Any, ...], tuple[tuple[str, Any], ...]]


class Noting(TorchDispatchMode):
    """Notes every matrix product: the operator and what its arguments look like."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[Call] = Counter()

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Note it and go on."""
        kwargs, name = kwargs or {}, str(op)
        if name.startswith(PRODUCTS) or ATTENTION in name:
            self.calls[(op, _looks(args), tuple((k, _looks(v)) for k, v in kwargs.items()))] += 1
        if LOSS in name:
            self._note_loss(*args[:2])
        return op(*args, **kwargs)

    def _note_loss(self, hidden: Tensor, weight: Tensor) -> None:
        """Note the three products that the fused loss makes of each chunk of rows."""
        (n_rows, dim), vocab = hidden.shape, weight.shape[0]
        left, most = n_rows, max(1, CHUNK_BYTES // (4 * vocab))
        while left:
            n = min(left, most)
            x, scores, by_word = (n, dim), (n, vocab), (vocab, n)
            for pair in ((x, (1, dim), (dim, vocab)), (scores, (dim, 1), (vocab, dim))):
                self._note_product(pair[0], (pair[0][1], 1), pair[2], pair[1])
            self._note_product(by_word, (1, vocab), x, (dim, 1))
            left -= n

    def _note_product(self, a: Shape, a_stride: Shape, b: Shape, b_stride: Shape) -> None:
        looks = tuple(
            ("tensor", shape, stride, torch.float32) for shape, stride in ((a, a_stride), (b, b_stride))
        )
        self.calls[(torch.ops.aten.mm.default, looks, ())] += 1


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=SIZES, default="10m")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    with tempfile.TemporaryDirectory() as name:
        step = steps(Path(name) / "shards", SIZES[asked.size])
        step()
        with Noting() as noting:
            step()
        products = {c: n for c, n in noting.calls.items() if str(c[0]).startswith(PRODUCTS)}
        attention = {c: n for c, n in noting.calls.items() if c not in products}
        parts = {"step": step, "gemm": replay(products), "attention": replay(attention)}
        for part in parts.values():
            part()
        wall: dict[str, list[float]] = {name: [] for name in parts}
        for _ in range(asked.rounds):
            for name, part in parts.items():
                start = time.perf_counter()
                part()
                wall[name].append(time.perf_counter() - start)
    both = [g + a for g, a in zip(wall["gemm"], wall["attention"], strict=True)]
    flops = sum(n * _flops(call) for call, n in products.items())
    row = {
        "bench": "gemm_replay",
        "size": asked.size,
        "seconds": {name: round(statistics.median(values), 4) for name, values in wall.items()},
        "over_gemm": _ratio(wall["step"], wall["gemm"]),
        "over_gemm_and_attention": _ratio(wall["step"], both),
        "gflops_of_gemm": round(flops / statistics.median(wall["gemm"]) / 1e9, 1),
        "products": sum(products.values()),
        "threads": asked.threads,
    }
    print(json.dumps(row))


def steps(shards: Path, size: dict[str, int]) -> Callable[[], Any]:
    """Return what takes one more step of the training loop."""
    write_shards(shards, size["context"], size["vocab"])
    shape = {k: size[k] for k in ("dim", "n_layers", "n_heads")}
    config = FAMILIES["gpt2"].config(
        "tiny", vocab_size=size["vocab"], max_len=size["context"], dropout=0.0, **shape
    )
    settings = TrainSettings(steps=100_000, lr=LR, weight_decay=WEIGHT_DECAY)
    model = build_model(config)
    loop = train(
        Course(
            model=model,
            batches=PackedWindows(
                shards / "train", context=size["context"], batch_size=size["batch"], seed=1
            ),
            objective=next_token,
            optimizer=build_optimizer(model, settings),
            lr_at=lr_at(settings),
            settings=settings,
        )
    )
    return lambda: next(loop)


def replay(calls: dict[Call, int]) -> Callable[[], None]:
    """Return what makes the calls again, each kind on operands of its own."""
    ready = [
        (op, _like(args), {k: _like(v) for k, v in kwargs}, n) for (op, args, kwargs), n in calls.items()
    ]
    outs = [{"out": op(*a, **k)} if str(op).startswith(PRODUCTS) else {} for op, a, k, _ in ready]

    @torch.no_grad()
    def work() -> None:
        for (op, args, kwargs, n), out in zip(ready, outs, strict=True):
            call = op.overloadpacket if out else op
            for _ in range(n):
                call(*args, **{**kwargs, **out})

    return work


def _looks(value: Any) -> Any:
    if isinstance(value, Tensor):
        return ("tensor", tuple(value.shape), value.stride(), value.dtype)
    return tuple(map(_looks, value)) if isinstance(value, list | tuple) else value


def _like(look: Any) -> Any:
    if isinstance(look, tuple) and look[:1] == ("tensor",):
        _, shape, stride, dtype = look
        made = torch.empty_strided(shape, stride, dtype=dtype)
        return made.normal_() if dtype.is_floating_point else made.zero_()
    return tuple(map(_like, look)) if isinstance(look, tuple) else look


def _flops(call: Call) -> int:
    *_, a, b = (look for look in call[1] if isinstance(look, tuple) and look[:1] == ("tensor",))
    rows = 1
    for n in a[1]:
        rows *= n
    return 2 * rows * int(b[1][-1])


def _ratio(a: list[float], b: list[float]) -> float:
    return round(statistics.median(x / y for x, y in zip(a, b, strict=True)), 3)


if __name__ == "__main__":
    main()
