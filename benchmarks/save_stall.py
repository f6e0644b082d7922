"""How long saving a checkpoint keeps training waiting, and what it costs the run as a whole.

    python benchmarks/save_stall.py --every 50 --rounds 3

Trains a model of GPT-2's shape (6 layers, 384 wide) in rounds of `every` steps that begin with no save,
with one that is waited for, and with one in the background, in turns. A save is the best weights and a
checkpoint to go on from. Prints one JSON line: median seconds of a step and of a save, the share of the
steps between two saves that training stands still (for --interval of them), and what each kind of round
took; exit code 1 if the background's share is not below 5 %.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Generator
from pathlib import Path

import torch

from luban.config import resolved
from luban.device import peak_memory_bytes, use_threads
from luban.log import Log
from luban.models.build import build_model
from luban.models.families import FAMILIES
from luban.objectives.next_token import next_token
from luban.optim.build import build_optimizer
from luban.records import Batch, Step
from luban.train.engine import Course, train
from luban.train.precision import Precision
from luban.train.saving import RunState, Saver
from luban.train.settings import TrainSettings

VOCAB = 50_257
KINDS = ("none", "waited", "background")
MOST = 0.05


class Noise:
    """Random tokens: the arithmetic does not mind."""

    def __init__(self, batch_size: int, context: int):
        self.shape = (batch_size, context + 1)

    def at(self, step: int) -> list[Batch]:
        """Return the batch of a step."""
        tokens = torch.randint(VOCAB, self.shape, generator=torch.Generator().manual_seed(step))
        return [
            Batch(tokens[:, :-1].contiguous(), torch.ones_like(tokens[:, 1:]), tokens[:, 1:].contiguous())
        ]


def measure(options: argparse.Namespace, root: Path) -> dict[str, dict[str, list[float]]]:
    """Return the seconds of every save, step and round, by kind."""
    settings = TrainSettings(
        steps=options.rounds * options.every * len(KINDS) + 1, threads=options.threads, device="cpu"
    )
    config = FAMILIES["gpt2"].config(
        "tiny", vocab_size=VOCAB, dim=384, n_layers=6, n_heads=6, max_len=options.context
    )
    model = build_model(config)
    optimizer = build_optimizer(model, settings)
    precision = Precision(torch.float32, torch.device("cpu"))
    steps = train(
        Course(
            model=model,
            batches=Noise(options.batch, options.context),
            objective=next_token,
            optimizer=optimizer,
            lr_at=lambda step: 1e-4,
            settings=settings,
        )
    )
    next(steps)  # the optimizer has its state now
    found: dict[str, dict[str, list[float]]] = {k: {"save": [], "step": [], "round": []} for k in KINDS}
    with Saver(model, optimizer, None, precision, root, Log(quiet=True)) as saver:
        state = RunState(resolved(settings))
        for _ in range(options.rounds):
            for kind in KINDS:
                one_round(kind, steps, saver, state, options.every, found[kind])
    return found


def one_round(
    kind: str,
    steps: Generator[Step, None, None],
    saver: Saver,
    state: RunState,
    every: int,
    found: dict[str, list[float]],
) -> None:
    """Save in one way, then train; what is still being written at the end counts as the round's."""
    start = time.perf_counter()
    if kind != "none":
        state.step += every
        state.best = {"step": state.step}
        saver.save_best(state)
        saver.save(state)
    if kind == "waited":
        saver.wait()
    found["save"].append(time.perf_counter() - start)
    found["step"] += [next(steps).seconds for _ in range(every)]
    saver.wait()
    found["round"].append(time.perf_counter() - start)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--every", type=int, default=50, help="steps trained after each save")
    parser.add_argument("--interval", type=int, default=50, help="steps between saves, for the share")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--context", type=int, default=256)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--folder", help="on the disk to be measured; default: the system's temporary one")
    options = parser.parse_args()
    options.threads = use_threads(options.threads)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        found = measure(options, Path(folder))
        newest = max(Path(folder).glob("step-*"))
        size = sum(p.stat().st_size for p in newest.iterdir())
    middle = {kind: {k: statistics.median(v) for k, v in found[kind].items()} for kind in KINDS}
    step = middle["none"]["step"]
    shares = {kind: middle[kind]["save"] / (step * options.interval) for kind in KINDS[1:]}
    row = {
        "bench": "save_stall",
        **vars(options),
        "checkpoint_mb": round(size / 1e6),
        "cores": os.cpu_count(),
    }
    row |= {"step_seconds": round(step, 3), "peak_mb": round(peak_memory_bytes() / 1e6)}
    for kind in KINDS[1:]:
        row[f"{kind}_seconds"] = round(middle[kind]["save"], 4)
        row[f"{kind}_share"] = round(shares[kind], 5)
    row["round_seconds"] = {kind: [round(s, 2) for s in found[kind]["round"]] for kind in KINDS}
    print(json.dumps(row), flush=True)
    return 0 if shares["background"] < MOST else 1


if __name__ == "__main__":
    sys.exit(main())
