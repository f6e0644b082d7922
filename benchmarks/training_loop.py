"""What the training loop costs over the bare arithmetic of the same steps, taken in turns.

    python benchmarks/training_loop.py

Prints one JSON line: median of (loop ÷ bare) over pairs of neighbouring steps, in wall and in CPU time.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from luban.data.batches import PackedWindows
from luban.data.shards import TOKEN_BYTES, ShardWriter
from luban.device import use_threads
from luban.models.build import build_model
from luban.models.families import FAMILIES
from luban.objectives.next_token import next_token
from luban.optim.build import build_optimizer
from luban.optim.schedules import lr_at
from luban.train.engine import train
from luban.train.settings import TrainSettings

VOCAB, STEPS = 4096, 40


def shards(folder: Path) -> Path:
    draw = np.random.default_rng(0)
    with ShardWriter(folder, "train", VOCAB) as writer:
        for i in range(300):
            writer.add(str(i), [*draw.integers(5, VOCAB, draw.integers(50, 600)).tolist(), 1], 1000)
    np.save(folder / TOKEN_BYTES, np.ones(VOCAB))
    return folder / "train"


def timed(work: Callable[[], object]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    threads = use_threads(0)
    settings = TrainSettings(steps=STEPS)
    config = FAMILIES["llama"].config("tiny", vocab_size=VOCAB)
    ours, bare = build_model(config), build_model(config)
    with tempfile.TemporaryDirectory() as folder:
        windows = PackedWindows(shards(Path(folder)), context=128, batch_size=16, seed=1)
        optimizer = build_optimizer(bare, settings)
        parameters = list(bare.parameters())
        loop = train(ours, windows, next_token, build_optimizer(ours, settings), lr_at(settings), settings)

        def bare_step(step: int) -> None:
            loss = next_token(bare, batches[step])
            (loss.total / loss.n_targets).backward()
            torch.nn.utils.clip_grad_norm_(parameters, settings.max_grad_norm)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        batches = {step: windows.at(step)[0] for step in range(1, STEPS + 1)}
        pairs = []
        for step in range(1, STEPS + 1):
            if step % 2:
                a, b = timed(lambda: next(loop)), timed(lambda step=step: bare_step(step))
            else:
                b, a = timed(lambda step=step: bare_step(step)), timed(lambda: next(loop))
            pairs.append((a, b))
        loop.close()
    pairs = pairs[4:]
    row = {"bench": "loop", "steps": len(pairs), "threads": threads, "torch": torch.__version__}
    for name, i in (("wall", 0), ("cpu", 1)):
        row[f"{name}_ratio"] = round(statistics.median(a[i] / b[i] for a, b in pairs), 4)
        row[f"{name}_ratio_of_best"] = round(min(a[i] for a, _ in pairs) / min(b[i] for _, b in pairs), 4)
    row["bare_ms"] = round(1e3 * statistics.median(b[0] for _, b in pairs), 1)
    print(json.dumps(row))


if __name__ == "__main__":
    main()
