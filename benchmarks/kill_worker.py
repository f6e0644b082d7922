"""Kill one of several training processes with kill -9, and compare the end with a run left alone.

    python benchmarks/kill_worker.py --kills 5
    python benchmarks/kill_worker.py --kills 3 --set train.parallel.shard=0

torchrun must restart all processes, they must go on from the last checkpoint, and the model must be that
of an undisturbed run with as many processes, bit for bit; no process may be left. Each kill has a run of
its own, at a random step, and takes a worker in turn. Prints one JSON line; exit code 1 if anything
differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from luban.cli.launch import children

STEPS = 60
SETTINGS = {
    "steps": STEPS, "evaluate_every_steps": 20, "save_every_steps": 7, "ema_decay": 0.9, "n_micro_batches": 2,
    "lr": 3e-3, "log_every_steps": 10_000, "device": "cpu", "threads": 1, "tokens_per_batch": 256,
}  # fmt: skip
WORDS = ("lovely fine warm bright happy", "awful cold grim dull sad")
SECONDS = 120
"""More than a run takes."""


def write_rows(path: Path) -> None:
    """Write rows of two labels that are easy to tell apart."""
    draw = random.Random(0)
    with path.open("w", encoding="utf-8") as file:
        for i in range(200):
            words = draw.choices([*WORDS[i % 2].split(), *"the a film of day and in".split()], k=8)
            file.write(json.dumps({"text": " ".join(words), "label": ("good", "bad")[i % 2]}) + "\n")


def command(rows: Path, out: Path, options: argparse.Namespace) -> list[str]:
    """Return the command that trains."""
    sets = [f"train.{name}={value}" for name, value in SETTINGS.items()] + options.sets
    flags = [part for text in sets for part in ("--set", text)]
    return [
        *(sys.executable, "-m", "luban", "train", "--task", "classify", "--data", str(rows)),
        *("--out", str(out), "--nproc", str(options.nproc), *flags),
    ]


def steps_done(out: Path) -> int:
    """Return how many steps a run in progress has written down."""
    return sum(
        len(p.read_bytes().splitlines()) for p in out.parent.glob(f"{out.name}.partial-*/metrics.jsonl")
    )


def run(command: list[str], out: Path, kill_at: int | None, rank: int) -> set[int]:
    """Train to the end, killing a worker on the way if asked; return the processes that were seen."""
    launcher = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    seen: set[int] = set()
    until = time.monotonic() + SECONDS
    while launcher.poll() is None and time.monotonic() < until:
        agents = children(launcher.pid)
        workers = sorted(w for agent in agents for w in children(agent))
        seen |= {*agents, *workers}
        if kill_at is not None and steps_done(out) >= kill_at and len(workers) > rank:
            os.kill(workers[rank], signal.SIGKILL)
            kill_at = None
        time.sleep(0.005)
    launcher.terminate()
    _, told = launcher.communicate(timeout=SECONDS)
    if launcher.returncode or kill_at is not None:
        sys.exit(f"{told}\nended with code {launcher.returncode}, kill still due at {kill_at}")
    return {pid for pid in seen if Path(f"/proc/{pid}").exists()}


def digest(out: Path) -> str:
    """Return the hash of a run's model."""
    return hashlib.sha256((out / "model.safetensors").read_bytes()).hexdigest()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--nproc", type=int, default=2)
    parser.add_argument("--set", dest="sets", action="append", default=[], help="further settings")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder, "rows.jsonl")
        write_rows(rows)
        begun = time.monotonic()
        left = run(command(rows, Path(folder, "whole"), options), Path(folder, "whole"), None, 0)
        seconds = time.monotonic() - begun
        expected = digest(Path(folder, "whole"))
        moments, found = [], []
        for i in range(options.kills):
            out, moment = Path(folder, f"killed-{i}"), draw.randrange(1, STEPS - 2)
            left |= run(command(rows, out, options), out, moment, i % options.nproc)
            moments.append(moment)
            found.append(digest(out) == expected)
    facts = {"bench": "kill_worker", "nproc": options.nproc, "kills_at_rows": moments, "equal": all(found)}
    facts |= {"left_processes": sorted(left), "seconds_undisturbed": round(seconds, 1), "seed": options.seed}
    print(json.dumps(facts))
    return 0 if all(found) and not left else 1


if __name__ == "__main__":
    sys.exit(main())
