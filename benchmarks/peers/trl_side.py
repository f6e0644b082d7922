"""trl's SFTTrainer with peft's LoRA as a peer: instruction tuning of a chat model.

Runs in the peer's own environment; see `turns.py`. Rows are given as prompt and completion, so that trl
supervises the answers alone, as it does by default for such rows.
"""

from __future__ import annotations

import gzip
import json
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from trainer_side import AfterStep, counting
from trl import SFTConfig, SFTTrainer
from turns import Turns, spec


def main() -> None:
    asked = spec()
    torch.set_num_threads(asked["threads"])
    turns = Turns(asked["warm_up"], asked["block"])
    lora = LoraConfig(
        r=asked["rank"],
        lora_alpha=asked["alpha"],
        lora_dropout=0.0,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    settings = SFTConfig(
        output_dir=asked["out"],
        per_device_train_batch_size=asked["batch"],
        max_length=asked["context"],
        max_steps=100_000,
        learning_rate=asked["lr"],
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
        **asked["options"],
    )
    trainer = counting(SFTTrainer, turns, True)(
        model=asked["model"],
        args=settings,
        train_dataset=Dataset.from_list(rows(asked["rows"])),
        peft_config=lora,
        callbacks=[AfterStep(turns)],
    )
    trainer.train()


def rows(path: str) -> list[dict[str, Any]]:
    """Return each conversation as what came before its last answer, and that answer."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        chats = [json.loads(line)["messages"] for line in lines]
    return [{"prompt": chat[:-1], "completion": chat[-1:]} for chat in chats]


if __name__ == "__main__":
    main()
