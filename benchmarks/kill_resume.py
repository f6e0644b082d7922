"""Kill training runs with kill -9 at random moments, resume them, and compare them with one never stopped.

    python benchmarks/kill_resume.py --kills 50
    python benchmarks/kill_resume.py --kills 10 --compile --schedule plateau --optimizer muon

Weights, every file of the last checkpoint and metrics.jsonl (without its timings) must be equal bit for
bit. The run has dropout, accumulation, packing, a running mean of the weights, a schedule, patience that
looks at every score, and a save every few steps; every other kill waits for the moment a checkpoint is
being written. A run that ends before all kills are done is compared, and a new one begins. Children are
forked, so that torch is imported once. Prints one JSON line; exit code 1 if anything differs.
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
from dataclasses import replace
from pathlib import Path
from typing import Any

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
TIMINGS = ("seconds", "wait_seconds", "tokens_per_second", "matmul_share", "memory_bytes")


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


def settings_of(options: argparse.Namespace) -> TrainSettings:
    """Everything on that a resumed run must remember."""
    return TrainSettings(
        steps=options.steps,
        lr=5e-3,
        schedule=options.schedule,
        plateau_looks=1,
        optimizer=options.optimizer,
        ema_decay=0.9,
        n_micro_batches=2,
        evaluate_every_steps=5,
        save_every_steps=3,
        log_every_steps=options.steps,
        patience=options.steps,
        trackers=(),
        compile="on" if options.compile else "off",
        threads=1,
        device="cpu",
    )


def train(shards: Path, out: Path, settings: TrainSettings) -> None:
    """Run the training to its end, from wherever `out` says it was."""
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
    files = [out / "model.safetensors", *newest.glob("*.safetensors")]
    found = {str(f.relative_to(out)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}
    state = json.loads((newest / "state.json").read_text())
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    rows = [row for row in rows if "warning" not in row]  # some are about time
    for name, values in (("state.json", [state]), ("metrics.jsonl", rows)):
        plain = [{k: v for k, v in row.items() if k not in TIMINGS} for row in values]
        found[name] = hashlib.sha256(json.dumps(plain).encode()).hexdigest()
    return found


def compare(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Kill runs below `folder` and return what was found, for the JSON line."""
    shards, whole = folder / "shards", folder / "whole"
    shards.mkdir()
    write_text(shards)
    settings = settings_of(options)
    train(shards, folder / "warm", replace(settings, steps=1, compile="off"))  # loads what every child would
    begun = time.monotonic()
    finish(start(lambda: train(shards, whole, settings)))
    seconds = time.monotonic() - begun
    draw = random.Random(options.seed)
    n_kills = n_saving = n_runs = 0
    different: set[str] = set()
    while n_kills < options.kills:
        n_runs += 1
        killed = folder / f"killed-{n_runs}"
        while True:
            child = start(lambda: train(shards, killed, settings))  # noqa: B023, used at once
            # Kills are spread over the whole run: each time is counted from the last one's place.
            wait = draw.uniform(0, 2 * seconds / (options.kills + 1)) + STARTING_SECONDS
            is_last = n_kills == options.kills
            if is_last or not kill_when(child, killed, wait, saving=n_kills % 2 == 0):
                break
            n_kills += 1
            n_saving += _is_saving(killed)
        if is_last:
            finish(child)
        expected, found = result(whole), result(killed)
        different |= {name for name in expected | found if expected.get(name) != found.get(name)}
    counts = {"kills": n_kills, "while_saving": n_saving, "runs": n_runs, "seconds": round(seconds, 2)}
    return counts | {"equal": not different, "different": sorted(different)}


def finish(child: int) -> None:
    """Wait for a child; one that failed has said why."""
    if os.waitpid(child, 0)[1]:
        sys.exit(1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--steps", type=int, help="of a run; default: 8 a kill, at least 60")
    parser.add_argument("--schedule", default="cosine")
    parser.add_argument("--optimizer", default="adamw")
    parser.add_argument("--compile", action="store_true", help="compile the blocks: seconds for every start")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    options.steps = options.steps or max(60, 8 * options.kills)
    torch.set_num_threads(1)  # before any fork: a pool of threads would not survive one
    with tempfile.TemporaryDirectory() as folder:
        row = compare(Path(folder), options)
    print(json.dumps({"bench": "kill_resume", **vars(options), **row}), flush=True)
    return 0 if row["equal"] else 1


if __name__ == "__main__":
    sys.exit(main())
