"""trl's SFTTrainer as a peer: adapters on a chat model for so much CPU time; see `chat_peers.py`.

Runs in the peer's own environment. The merged model is written as a folder, for Luban to score.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer


class Budget(TrainerCallback):
    """Stops when the CPU time since the first step is used."""

    def __init__(self, seconds: float):
        self.seconds, self.start = seconds, 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Begin to count at the first step."""
        self.start = self.start or time.process_time()

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Stop at the end of the budget."""
        if time.process_time() - self.start > self.seconds:
            control.should_training_stop = True


def main(task: dict[str, Any]) -> None:
    """Train, merge, save, and print what was spent."""
    torch.set_num_threads(1)
    with open(task["rows"], encoding="utf-8") as lines:
        rows = [json.loads(line)["messages"] for line in lines]
    data = Dataset.from_list([{"prompt": turns[:-1], "completion": turns[-1:]} for turns in rows])
    budget = Budget(task["seconds"])
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(task["model"], dtype=torch.float32),
        processing_class=AutoTokenizer.from_pretrained(task["model"]),
        train_dataset=data,
        args=SFTConfig(
            output_dir=task["out"] + "-run",
            per_device_train_batch_size=task["rows_per_step"] // task["n_micro_batches"],
            gradient_accumulation_steps=task["n_micro_batches"],
            learning_rate=task["lr"],
            lr_scheduler_type="constant_with_warmup",
            warmup_steps=task["warmup_steps"],
            num_train_epochs=1000,
            max_length=task["max_len"],
            seed=task["seed"],
            save_strategy="no",
            logging_steps=10,
            report_to=[],
            bf16=False,
            use_cpu=True,
            gradient_checkpointing=False,
            dataloader_pin_memory=False,
            disable_tqdm=True,
        ),
        peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
        callbacks=[budget],
    )
    trainer.train()
    seconds = time.process_time() - budget.start
    trainer.model.merge_and_unload().save_pretrained(task["out"])
    trainer.processing_class.save_pretrained(task["out"])
    row = {
        "steps": trainer.state.global_step,
        "tokens": trainer.state.num_input_tokens_seen,
        "cpu_seconds": seconds,
    }
    print(json.dumps(row))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
