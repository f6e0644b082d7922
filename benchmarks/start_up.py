"""Seconds from the command to the first optimizer step: `luban train` against a Trainer script, in turns.

    python benchmarks/start_up.py --peer ENV/bin/python

Both build GPT-2's shape from scratch and take one step over the same windows, nothing compiled; each
start is a process of its own, everything read from a warm disk. Ours scores the validation split before
the first step, so that a report can say what training changed; `luban_no_look` leaves that out, as Trainer
does (train.look_first=false). One JSON line; `ratio` < 1: ours is sooner.
"""

from __future__ import annotations

import statistics
import tempfile
from argparse import Namespace
from pathlib import Path
from typing import Any

from peers.alternate import OURS, Side, arguments, ours, show, turns
from pretrain_peers import LR, SIZES, WEIGHT_DECAY, write_shards

SIZE, TRAINER = SIZES["10m"], "trainer"


def main() -> None:
    parser = arguments(__doc__, rounds=4, block=1)
    parser.add_argument("--peer", default="", help="interpreter with transformers and accelerate")
    asked = parser.parse_args()
    asked.warm_up = 1
    seconds: dict[str, list[float]] = {}
    problems: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_shards(folder / "shards", SIZE["context"], SIZE["vocab"], validation_windows=128)
        for i in range(asked.rounds + 1):
            for side in sides(folder, i, asked):
                side.start(folder, asked.threads)
                side.end()
                if side.problem:
                    problems[side.name] = side.problem
                elif i:  # the first round warms the disk
                    seconds.setdefault(side.name, []).append(side.first_step_seconds)
    rows = {name: figures(values, seconds.get(TRAINER)) for name, values in seconds.items()}
    rows |= {name: {"problem": problem} for name, problem in problems.items()}
    show("start_up", {"shape": SIZE}, rows, asked.threads)


def sides(folder: Path, i: int, asked: Namespace) -> list[Side]:
    """Return fresh sides, for each works once; ours writes to a new folder each time."""
    theirs = {
        **SIZE,
        **turns(asked),
        "task": "pretrain",
        "tokens": str(folder / "shards/train.bin"),
        "out": str(folder / "peer"),
        "lr": LR,
        "weight_decay": WEIGHT_DECAY,
    }
    plain = {"threads": asked.threads, "compile": "off"}
    looks = ours(command(folder, f"looks-{i}", plain), asked)
    blind = ours(command(folder, f"blind-{i}", {**plain, "look_first": "false"}), asked)
    blind.name = f"{OURS}_no_look"
    return [looks, blind, Side(TRAINER, asked.peer, "trainer_side.py", theirs)]


def figures(seconds: list[float], theirs: list[float] | None) -> dict[str, Any]:
    median = statistics.median(seconds)
    row: dict[str, Any] = {"seconds": round(median, 2), "all": [round(s, 2) for s in seconds]}
    return row | ({"ratio": round(median / statistics.median(theirs), 3)} if theirs else {})


def command(folder: Path, out: str, more: dict[str, Any]) -> list[str]:
    model = {"family": "gpt2", "dropout": 0.0, "max_len": SIZE["context"]}
    model |= {k: SIZE[k] for k in ("dim", "n_layers", "n_heads")}
    settings = {f"model.{k}": v for k, v in model.items()} | more
    sets = [part for k, v in settings.items() for part in ("--set", f"train.{k}={v}")]
    named = ["--data", str(folder / "shards"), "--out", str(folder / out)]
    return ["train", "--task", "pretrain", *named, *sets]


if __name__ == "__main__":
    main()
