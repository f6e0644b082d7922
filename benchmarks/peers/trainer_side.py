"""Hugging Face's Trainer as a peer: pre-training from a config, or a classifier from a folder.

Runs in the peer's own environment; see `turns.py`.
"""

from __future__ import annotations

from typing import Any

import torch
from token_windows import Windows
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from turns import Turns, spec


class AfterStep(TrainerCallback):
    """Tells the turns of each optimizer step."""

    def __init__(self, turns: Turns):
        self.turns = turns

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Note it."""
        self.turns.step()


def counting(kind: type[Trainer], turns: Turns, per_token: bool) -> type[Trainer]:
    """Return the trainer with its inputs counted: targets are tokens, or one a row."""

    class Counting(kind):  # type: ignore[misc, valid-type]
        def training_step(self, model: Any, inputs: Any, *rest: Any, **more: Any) -> Any:
            tokens, mask = inputs["input_ids"], inputs.get("attention_mask")
            n_tokens = tokens.numel() if mask is None else int(mask.sum())
            n_targets = int((inputs["labels"] != -100).sum()) if per_token else len(tokens)
            turns.count(n_tokens, n_targets, tokens.numel())
            return super().training_step(model, inputs, *rest, **more)

    return Counting


def settings(asked: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments that every run has; the rest are the library's defaults."""
    return {
        "output_dir": asked["out"],
        "per_device_train_batch_size": asked["batch"],
        "max_steps": 100_000,
        "learning_rate": asked["lr"],
        "weight_decay": asked["weight_decay"],
        "adam_beta2": 0.95,
        "logging_steps": 10,
        "save_strategy": "no",
        "report_to": "none",
        "use_cpu": True,
        "disable_tqdm": True,
        **asked.get("options", {}),
    }


def pretraining(asked: dict[str, Any]) -> dict[str, Any]:
    """A GPT-2 of random weights over token windows; the model shifts the labels."""
    config = GPT2Config(
        vocab_size=asked["vocab"],
        n_positions=asked["context"],
        n_embd=asked["dim"],
        n_layer=asked["n_layers"],
        n_head=asked["n_heads"],
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        use_cache=False,
        bos_token_id=0,
        eos_token_id=0,
    )
    return {"model": GPT2LMHeadModel(config), "train_dataset": Windows(asked["tokens"], asked["context"])}


def classifying(asked: dict[str, Any]) -> dict[str, Any]:
    """A pretrained encoder under a new head over labelled rows, padded by the default collator."""
    import gzip
    import json

    from datasets import Dataset

    tokenizer = AutoTokenizer.from_pretrained(asked["model"])
    with gzip.open(asked["rows"], "rt", encoding="utf-8") as lines:
        rows = [row for row in map(json.loads, lines) if row["split"] == "train"]
    names = sorted({row["label"] for row in rows})
    data = Dataset.from_dict(
        {"text": [r["text"] for r in rows], "label": [names.index(r["label"]) for r in rows]}
    )
    data = data.map(
        lambda batch: tokenizer(batch["text"], truncation=True, max_length=asked["max_len"]), batched=True
    )
    model = AutoModelForSequenceClassification.from_pretrained(asked["model"], num_labels=len(names))
    return {"model": model, "train_dataset": data, "processing_class": tokenizer}


def main() -> None:
    asked = spec()
    torch.set_num_threads(asked["threads"])
    turns = Turns(asked["warm_up"], asked["block"])
    parts = {"pretrain": pretraining, "classify": classifying}[asked["task"]](asked)
    trainer = counting(Trainer, turns, asked["task"] == "pretrain")(
        args=TrainingArguments(**settings(asked)), callbacks=[AfterStep(turns)], **parts
    )
    trainer.train()


if __name__ == "__main__":
    main()
