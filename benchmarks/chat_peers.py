"""Tune a chat model side by side with trl's SFTTrainer: the same rows, adapters and CPU time; held-out loss.

    python benchmarks/chat_peers.py MODEL ROWS ENV/bin/python OUT --cpu-minutes 5

Both learn adapters of rank 16 on all matrices from answers alone, at the same rate, constant after ten steps,
in float32, one thread each, at the same time, until the CPU time is used (counted from the first step).
Theirs: batches of 8 rows in random order, no gradient checkpointing. Ours: packed lines of as many tokens.
One function of ours scores the held-out answers of both and of the model before, in nats per token.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from luban.data.messages import read_conversations
from luban.files import write_jsonl
from luban.log import Log
from luban.models.load import load_model
from luban.models.model import Model
from luban.objectives.vocabulary import supervised_tokens
from luban.records import Batch, Loss
from luban.tasks.chat import prepare
from luban.tasks.chat_rows import Row, parted
from luban.tasks.chat_score import answer_nats
from luban.tasks.chat_settings import ChatSettings
from luban.tokenizer import load_tokenizer
from luban.tokenizer.chat import ChatTemplate, encode_chat
from luban.train.run import run_training

PEER = Path(__file__).parent / "peers" / "trl_sft_side.py"
ROWS_PER_STEP, MANY_STEPS, WARMUP_STEPS = 8, 1_000_000, 10
N_MICRO_BATCHES = 4
"""Theirs holds the scores of all tokens of a micro-batch at once: 8 rows take more than 4 GB."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("rows", type=Path)
    parser.add_argument("peer", help="interpreter with trl and peft")
    parser.add_argument("out", type=Path)
    parser.add_argument("--cpu-minutes", type=float, default=5.0)
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--max-len", type=int, default=256)
    parser.add_argument("--held-out", type=int, default=60, help="score so many of the held-out rows")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--side", action="store_true", help="be our side")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.side:
        print(json.dumps(our_side(asked)))
        return
    asked.out.mkdir(parents=True, exist_ok=True)
    held = write_rows(asked)
    common = {
        "model": str(asked.model), "rows": str(asked.out / "train.jsonl"), "out": str(asked.out / "trl"),
        "seconds": 60 * asked.cpu_minutes, "lr": asked.lr, "seed": asked.seed, "max_len": asked.max_len,
        "rows_per_step": ROWS_PER_STEP, "n_micro_batches": N_MICRO_BATCHES, "warmup_steps": WARMUP_STEPS,
    }  # fmt: skip
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    sides = {
        "luban": [sys.executable, __file__, *sys.argv[1:], "--side"],
        "trl": [asked.peer, str(PEER), json.dumps(common)],
    }
    running = {
        name: subprocess.Popen(line, stdout=subprocess.PIPE, text=True, env=one_thread)
        for name, line in sides.items()
    }
    found = {name: json.loads(p.communicate()[0].strip().splitlines()[-1]) for name, p in running.items()}
    found["before"] = {"loss": loss(load_model(asked.model), held)}
    found["trl"]["loss"] = loss(load_model(asked.out / "trl"), held)
    print(json.dumps({"benchmark": "chat_peers", "held_out": len(held), "lr": asked.lr, **found}))


def our_side(asked: argparse.Namespace) -> dict[str, Any]:
    rows = asked.out / "train.jsonl"
    mean = json.loads((asked.out / "mean.json").read_text())
    settings = ChatSettings(
        steps=MANY_STEPS, lr=asked.lr, schedule="constant", warmup_share=WARMUP_STEPS / MANY_STEPS,
        max_len=asked.max_len, tokens_per_batch=round(ROWS_PER_STEP * mean), seed=asked.seed, threads=1,
        evaluate_every_steps=MANY_STEPS, save_every_steps=MANY_STEPS, look_first=False, trackers=(),
        compile="off",
    )  # fmt: skip
    inputs = {"model": asked.model, "data": rows, "eval": asked.out / "held.jsonl"}
    (asked.out / "ours").mkdir(exist_ok=True)
    run = prepare(settings, inputs, asked.out / "ours", Log(quiet=True)).run
    spent = {"start": 0.0, "tokens": 0.0, "steps": 0.0}

    def objective(model: torch.nn.Module, batch: Batch) -> Loss:
        spent["start"] = spent["start"] or time.process_time()
        if time.process_time() - spent["start"] > 60 * asked.cpu_minutes:
            raise TimeoutError
        spent["tokens"] += int((batch.documents > 0).sum())
        spent["steps"] += 1
        return supervised_tokens(model, batch)

    with contextlib.suppress(TimeoutError):
        run_training(dataclasses.replace(run, objective=objective), asked.out / "ours", Log(quiet=True))
    seconds = time.process_time() - spent["start"]
    held = encoded(asked, "held.jsonl")
    return {
        "loss": loss(run.model, held),
        "steps": spent["steps"],
        "tokens": spent["tokens"],
        "cpu_seconds": seconds,
    }


def write_rows(asked: argparse.Namespace) -> list[Row]:
    """Write the rows of both sides, none longer than max_len; return the encoded ones that are held out."""
    tokenizer = load_tokenizer(asked.model)
    parts = parted(read_conversations(asked.rows).kept, 0.1)
    with ChatTemplate(tokenizer) as template:
        lengths: dict[str, list[int]] = {}
        for name, part in (("train", parts["train"]), ("held", parts["validation"])):
            kept = []
            for talk in part:
                n = len(encode_chat(template, talk.messages)[0])
                if n <= asked.max_len:
                    kept.append({"messages": list(talk.messages)})
                    lengths.setdefault(name, []).append(n)
            write_jsonl(asked.out / f"{name}.jsonl", kept[: asked.held_out] if name == "held" else kept)
    (asked.out / "mean.json").write_text(json.dumps(sum(lengths["train"]) / len(lengths["train"])))
    return encoded(asked, "held.jsonl")


def encoded(asked: argparse.Namespace, name: str) -> list[Row]:
    with ChatTemplate(load_tokenizer(asked.model)) as template:
        return [encode_chat(template, talk.messages) for talk in read_conversations(asked.out / name).kept]


def loss(model: Model, held: list[Row]) -> float:
    """Nats per token of all held-out answers."""
    return sum(answer_nats(model, held)) / sum(sum(flags) for _, flags in held)


if __name__ == "__main__":
    main()
