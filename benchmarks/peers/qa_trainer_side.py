"""Hugging Face's Trainer as a peer: answers found in texts, by its usual recipe, for so much CPU time.

Runs in the peer's own environment; see `qa_peers.py`. Windows of 384 tokens that share 128, each a row of
its own; a window without the answer points at its first token.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForQuestionAnswering,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

MAX_LEN, OVERLAP = 384, 128


class Budget(TrainerCallback):
    """Lowers the learning rate by the CPU time that is left, and stops when none is."""

    def __init__(self, seconds: float, warmup: float = 0.1):
        self.seconds, self.warmup, self.start = seconds, warmup, 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Start the clock."""
        self.start = time.process_time()

    def share(self) -> float:
        """Return the share of the budget that is used."""
        return (time.process_time() - self.start) / self.seconds if self.start else 0.0

    def factor(self, step: int) -> float:
        """Return the learning rate as a share of its peak."""
        used = self.share()
        return max(1e-3, min(used / self.warmup, (1 - used) / (1 - self.warmup)))

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Stop at the end of the budget."""
        control.should_training_stop = self.share() >= 1


def features(rows: list[dict[str, Any]], tokenizer: Any) -> list[dict[str, Any]]:
    """Return the windows of the rows, with the positions of the answer."""
    made = []
    encoded = tokenizer(
        [r["question"] for r in rows],
        [r["context"] for r in rows],
        truncation="only_second",
        max_length=MAX_LEN,
        stride=OVERLAP,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    for i, number in enumerate(encoded["overflow_to_sample_mapping"]):
        begin, end = rows[number]["span"]
        sequence, offsets = encoded.sequence_ids(i), encoded["offset_mapping"][i]
        inside = [t for t, (a, b) in enumerate(offsets) if sequence[t] == 1 and a < end and b > begin]
        context = [t for t, s in enumerate(sequence) if s == 1]
        is_whole = inside and offsets[context[0]][0] <= begin and offsets[context[-1]][1] >= end
        row = {key: encoded[key][i] for key in ("input_ids", "attention_mask", "token_type_ids")}
        row["start_positions"], row["end_positions"] = (inside[0], inside[-1]) if is_whole else (0, 0)
        made.append(row)
    return made


def main() -> None:
    asked = json.loads(sys.argv[1])
    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(asked["model"])
    model = AutoModelForQuestionAnswering.from_pretrained(asked["model"])
    rows = [json.loads(line) for line in Path(asked["rows"]).read_text().splitlines()]
    data = features(rows, tokenizer)
    budget = Budget(asked["cpu_seconds"])
    arguments = TrainingArguments(
        output_dir=asked["out"],
        per_device_train_batch_size=asked["batch"],
        learning_rate=asked["lr"],
        max_steps=100_000,
        seed=asked["seed"],
        save_strategy="no",
        report_to="none",
        logging_steps=50,
        disable_tqdm=True,
        use_cpu=True,
        dataloader_pin_memory=False,
    )
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=data,
        data_collator=DataCollatorWithPadding(tokenizer),
        callbacks=[budget],
    )
    trainer.create_optimizer()
    trainer.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(trainer.optimizer, budget.factor)
    trainer.train()
    out = Path(asked["out"])
    facts = {
        "cpu_seconds": round(time.process_time() - budget.start),
        "steps": trainer.state.global_step,
        "epochs": round(trainer.state.global_step * asked["batch"] / len(data), 2),
        "windows": len(data),
    }
    trainer.save_model(asked["out"])
    tokenizer.save_pretrained(asked["out"])
    (out / "cpu.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main()
