"""Kill a training run with kill -9 at random moments, resume it, and compare it with a run never stopped.

    python benchmarks/kill_resume.py --kills 20

Weights, every checkpoint file of the last step and metrics.jsonl (without its timings) must be equal
bit for bit. The run has dropout, accumulation, packing, early stopping's memory and a save every few
steps; every other kill waits for the moment a checkpoint is being written. Children are forked, so
that torch is imported once. Prints one JSON line; exit code 1 if anything differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from luban.data.batches import PackedWindows
from luban.data.shards import TOKEN_BYTES, ShardWriter
from luban.evaluate.language_model import bits_per_byte
from luban.log import Log
from luban.models.build import build_model
from luban.models.families import FAMILIES
from luban.objectives.next_token import next_token
from luban.train.checkpoint import model_tensors
from luban.train.run import Run, run_training
from luban.train.settings import TrainSettings

VOCAB = 64
STARTING_SECONDS = 0.05
"""About what a forked child needs before its first step."""
TIMINGS = ("seconds", "wait_seconds", "tokens_per_second")


def write_text(folder: Path) -> None:
    """Write token shards of small documents that count upwards, with noise."""
    draw = random.Random(0)
    for split, n in (("train", 200), ("validation", 20)):
        with ShardWriter(folder, split, VOCAB) as writer:
            for i in range(n):
                start, size = draw.randrange(VOCAB), draw.randrange(4, 40)
                tokens = [2 + (start + k + (draw.random() < 0.1)) % (VOCAB - 2) for k in range(size)]
                writer.add(f"{split} {i}", [*tokens, 1], size)
    np.save(folder / TOKEN_BYTES, np.ones(VOCAB))


def train(shards: Path, out: Path, steps: int) -> None:
    """Run the training to its end, from wherever `out` says it was."""
    settings = TrainSettings(
        steps=steps,
        lr=5e-3,
        n_micro_batches=2,
        evaluate_every_steps=5,
        save_every_steps=7,
        patience=steps,
        threads=1,
        device="cpu",
    )
    config = FAMILIES["gpt2"].config(
        "tiny", vocab_size=VOCAB, dim=32, n_layers=2, n_heads=2, max_len=64, dropout=0.2
    )
    model = build_model(config)
    windows = {
        split: PackedWindows(shards / split, context=32, batch_size=4, seed=1, n_micro_batches=2)
        for split in ("train", "validation")
    }
    out.mkdir(parents=True, exist_ok=True)
    run = Run(
        model=model,
        batches=windows["train"],
        objective=next_token,
        settings=settings,
        evaluate=lambda: bits_per_byte(model, windows["validation"]),
    )
    run_training(run, out, Log(quiet=True))
    save_file(model_tensors(model), out / "model.safetensors")


def start(work: Callable[[], None]) -> int:
    """Fork a child that does `work`; return its process id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)


def kill_when(child: int, out: Path, seconds: float, *, saving: bool) -> bool:
    """Kill the child after so long, or at the next save after that; return whether it still ran."""
    until, last = time.monotonic() + seconds, time.monotonic() + seconds + 2
    while time.monotonic() < until or (saving and not _is_saving(out) and time.monotonic() < last):
        if os.waitpid(child, os.WNOHANG)[0]:
            return False
        time.sleep(0.0002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def _is_saving(out: Path) -> bool:
    return any((out / "checkpoints").glob(".*.tmp"))


def result(out: Path) -> dict[str, str]:
    """Return the hash of everything that must be equal."""
    newest = max((out / "checkpoints").glob("step-*"))
    files = [out / "model.safetensors", newest / "model.safetensors", newest / "optimizer.safetensors"]
    found = {str(f.relative_to(out)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    plain = [{k: v for k, v in row.items() if k not in TIMINGS} for row in rows]
    return found | {"metrics.jsonl": hashlib.sha256(json.dumps(plain).encode()).hexdigest()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    torch.set_num_threads(1)  # before any fork: a pool of threads would not survive one
    torch.optim.AdamW([torch.zeros(1)])  # loads what else every child would load
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        shards, whole, killed = (Path(folder) / name for name in ("shards", "whole", "killed"))
        shards.mkdir()
        write_text(shards)
        begun = time.monotonic()
        if os.waitpid(start(lambda: train(shards, whole, options.steps)), 0)[1]:
            return 1
        seconds = time.monotonic() - begun

        n_kills = n_saving = 0
        while n_kills < options.kills:
            child = start(lambda: train(shards, killed, options.steps))
            # Kills are spread over the whole run: each time is counted from the last one's place.
            wait = draw.uniform(0, 2 * seconds / (options.kills + 1)) + STARTING_SECONDS
            if not kill_when(child, killed, wait, saving=n_kills % 2 == 0):
                break
            n_kills += 1
            n_saving += _is_saving(killed)
        if os.waitpid(start(lambda: train(shards, killed, options.steps)), 0)[1]:
            return 1
        expected, found = result(whole), result(killed)
    different = sorted(name for name in expected if expected[name] != found.get(name))
    row = {"bench": "kill_resume", "steps": options.steps, "seconds": round(seconds, 2), "seed": options.seed}
    row |= {"kills": n_kills, "while_saving": n_saving, "equal": not different, "different": different}
    print(json.dumps(row), flush=True)
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
