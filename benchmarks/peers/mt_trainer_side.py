"""Marian in transformers as a peer: translation from scratch by Seq2SeqTrainer, for so much CPU time.

Runs in the peer's own environment; see `mt_peers.py`. The shape, the tokenizer, the schedule and the
smoothing are Luban's; rows of like length share a batch, as the Trainer groups them, and the weights with
the lowest validation loss of the run are kept.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from transformers import (
    DataCollatorForSeq2Seq,
    MarianConfig,
    MarianMTModel,
    PreTrainedTokenizerFast,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    TrainerCallback,
)


class Budget(TrainerCallback):
    """Stops when the CPU time is used."""

    def __init__(self, seconds: Path):
        self.seconds, self.start = seconds, time.process_time()

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Stop at the end of the budget, after a last look."""
        if time.process_time() - self.start >= float(self.seconds.read_text()):
            control.should_training_stop = control.should_evaluate = control.should_save = True


class Pairs(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """Encoded pairs; sources and targets end in the end token."""

    def __init__(self, rows: list[dict[str, str]], tokenizer: Any, max_len: int):
        self.rows = []
        for row in rows:
            source = tokenizer(row["source"])["input_ids"]
            target = tokenizer(row["target"])["input_ids"]
            if max(len(source), len(target)) <= max_len:
                made = {"input_ids": source, "labels": target, "length": len(source) + len(target)}
                self.rows.append(made)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> dict[str, Any]:
        return self.rows[i]


def main(task: dict[str, Any]) -> None:
    """Train, translate the test rows, and write what came of it."""
    torch.set_num_threads(1)
    out, shape = Path(task["out"]), task["shape"]
    tokenizer = PreTrainedTokenizerFast.from_pretrained(task["tokenizer"])
    config = MarianConfig(
        vocab_size=len(tokenizer),
        d_model=shape["dim"],
        encoder_layers=shape["n_layers"],
        decoder_layers=shape["n_layers"],
        encoder_attention_heads=shape["n_heads"],
        decoder_attention_heads=shape["n_heads"],
        encoder_ffn_dim=shape["ffn_dim"],
        decoder_ffn_dim=shape["ffn_dim"],
        dropout=shape["dropout"],
        max_position_embeddings=256,
        activation_function="relu",
        scale_embedding=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        forced_eos_token_id=None,
        decoder_start_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(task["seed"])
    model = MarianMTModel(config)
    rows = {name: _read(task["rows"], name) for name in ("train", "validation", "test")}
    start = time.process_time()
    arguments = Seq2SeqTrainingArguments(
        output_dir=str(out / "run"),
        per_device_train_batch_size=task["rows_per_batch"],
        per_device_eval_batch_size=task["rows_per_batch"],
        train_sampling_strategy="group_by_length",
        length_column_name="length",
        learning_rate=task["lr"],
        lr_scheduler_type="inverse_sqrt",
        warmup_steps=task["warmup_steps"],
        adam_beta2=0.98,
        weight_decay=0.0,
        label_smoothing_factor=task["label_smoothing"],
        max_steps=1_000_000,
        eval_strategy="steps",
        eval_steps=task["look_every"],
        save_strategy="steps",
        save_steps=task["look_every"],
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="loss",
        seed=task["seed"],
        use_cpu=True,
        report_to=[],
        logging_steps=100,
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    max_len = task["max_len"]
    trainer = Seq2SeqTrainer(
        model=model,
        args=arguments,
        train_dataset=Pairs(rows["train"], tokenizer, max_len),
        eval_dataset=Pairs(rows["validation"], tokenizer, max_len),
        data_collator=DataCollatorForSeq2Seq(tokenizer, model=model),
        callbacks=[Budget(Path(task["seconds"]))],
    )
    trainer.train()
    seconds = time.process_time() - start
    best = trainer.state.best_model_checkpoint
    written = _translate(model, tokenizer, [row["source"] for row in rows["test"]])
    (out / "translations.txt").write_text("\n".join(written) + "\n", "utf-8")
    facts = {
        "cpu_seconds": seconds,
        "steps": trainer.state.global_step,
        "epochs": trainer.state.epoch,
        "best": best and Path(best).name,
        "parameters": sum(p.numel() for p in model.parameters()),
        "looks": [row for row in trainer.state.log_history if "eval_loss" in row],
    }
    (out / "facts.json").write_text(json.dumps(facts, indent=1), "utf-8")


def _read(folder: str, name: str) -> list[dict[str, str]]:
    with (Path(folder) / f"{name}.jsonl").open(encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def _translate(model: Any, tokenizer: Any, sources: list[str], at_once: int = 50) -> list[str]:
    model.eval()
    order = sorted(range(len(sources)), key=lambda i: len(sources[i]))
    found = [""] * len(sources)
    for start in range(0, len(order), at_once):
        rows = order[start : start + at_once]
        inputs = tokenizer([sources[i] for i in rows], return_tensors="pt", padding=True)
        kept = {k: inputs[k] for k in ("input_ids", "attention_mask")}
        room = 2 * kept["input_ids"].shape[1] + 16
        with torch.no_grad():
            ids = model.generate(**kept, num_beams=5, max_length=None, max_new_tokens=room, do_sample=False)
        for i, text in zip(rows, tokenizer.batch_decode(ids, skip_special_tokens=True), strict=True):
            found[i] = " ".join(text.split())
    return found


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text("utf-8")))
