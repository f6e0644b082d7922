"""Hugging Face's Trainer as a peer in quality: a classifier's scores after each epoch, and its minutes.

    python benchmarks/peers/classify_trainer_side.py rows.jsonl.gz MODEL --epochs 3 --lr 5e-5

Runs in the peer's own environment. The rows have text, label and split: give it the very parts that
`luban train` makes of a file. One JSON line an epoch and split, with the CPU-minutes until then.
"""

from __future__ import annotations

import argparse
import gzip
import json
import tempfile
import time
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)


class Tell(TrainerCallback):
    """Prints the scores of each look."""

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **rest: Any) -> None:
        """Print them."""
        minutes = round(time.process_time() / 60, 2)
        kept = {k: v for k, v in metrics.items() if k.endswith(("loss", "accuracy", "macro_f1"))}
        print(json.dumps({"epoch": state.epoch, "cpu_minutes": minutes, **kept}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows")
    parser.add_argument("model")
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--lr", type=float, default=5e-5)
    parser.add_argument("--max-len", type=int, default=128)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    set_seed(asked.seed)
    with gzip.open(asked.rows, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    names = sorted({row["label"] for row in rows})
    tokenizer = AutoTokenizer.from_pretrained(asked.model)

    def part(name: str) -> Dataset:
        kept = [row for row in rows if row["split"] == name]
        made = {"text": [r["text"] for r in kept], "label": [names.index(r["label"]) for r in kept]}
        return Dataset.from_dict(made).map(
            lambda some: tokenizer(some["text"], truncation=True, max_length=asked.max_len), batched=True
        )

    def scores(found: Any) -> dict[str, float]:
        truth, guess = found.label_ids, found.predictions.argmax(-1)
        f1 = [
            2 * ((truth == k) & (guess == k)).sum() / max(1, (truth == k).sum() + (guess == k).sum())
            for k in range(len(names))
        ]
        return {"accuracy": float((truth == guess).mean()), "macro_f1": float(np.mean(f1))}

    with tempfile.TemporaryDirectory() as out:
        settings = TrainingArguments(
            out,
            per_device_train_batch_size=32,
            num_train_epochs=asked.epochs,
            learning_rate=asked.lr,
            warmup_steps=0.1,
            weight_decay=0.01,
            eval_strategy="epoch",
            save_strategy="no",
            report_to="none",
            use_cpu=True,
            disable_tqdm=True,
            seed=asked.seed,
        )
        Trainer(
            model=AutoModelForSequenceClassification.from_pretrained(asked.model, num_labels=len(names)),
            args=settings,
            train_dataset=part("train"),
            eval_dataset={"validation": part("validation"), "test": part("test")},
            processing_class=tokenizer,
            compute_metrics=scores,
            callbacks=[Tell()],
        ).train()


if __name__ == "__main__":
    main()
