"""Instruction tuning: conversations → a model that answers as their assistant does."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch

from luban.data.packing import PackedRows
from luban.evaluate.golden import GOLDEN, PROMPTS, record
from luban.files import write_jsonl
from luban.log import Log
from luban.models.model import Model
from luban.models.width import lr_dim
from luban.objectives.vocabulary import supervised_tokens
from luban.stages import Facts
from luban.tasks.chat_model import end_turns, open_chat_model, wake_rows
from luban.tasks.chat_rows import packed, read_chat_rows
from luban.tasks.chat_settings import ChatSettings
from luban.tasks.planning import Habit, planned
from luban.tasks.prepared import Prepared, train_prepared
from luban.tasks.start import let_learn, longest_row
from luban.tasks.task import Closed, Trained
from luban.tokenizer import Tokenizer
from luban.train.run import Run
from luban.tune.methods import ADAPTER, Applied

EPOCHS, MIN_STEPS, MAX_EPOCHS = 2, 60, 10
"""When the settings name no length: so many passes, more over few rows."""
LR_FULL, LR_DIM = 1e-4, 576
"""Peak learning rate of all weights in a model of that width; a wider one learns slower."""


def chat(settings: ChatSettings, inputs: Mapping[str, Path], out: Path, log: Log) -> Facts:
    """Tune a model on conversations; leave the best weights, adapters folded in, in `out`."""
    return train_prepared(prepare(settings, inputs, out, log), out, log)


def prepare(settings: ChatSettings, inputs: Mapping[str, Path], out: Path, log: Log) -> Prepared:
    """Read the conversations and the model, and let that learn which the method names."""
    folder = inputs["model"]
    model, tokenizer, n_new = open_chat_model(settings, folder, log)
    max_len = longest_row(model, settings)
    rows = read_chat_rows(inputs, settings, tokenizer, max_len)
    if rows.rejects:
        log.warn(f"{len(rows.rejects)} rows are set aside; the first: {rows.rejects[0]['reason']}")
    end_turns(model, tokenizer, rows.train[0], log)
    learning = let_learn(model, settings)
    if n_new:
        wake_rows(model, n_new)
    batches, validation, seen = (
        packed(part, settings, model.config.pad_id)
        for part in (rows.train, rows.validation, rows.train[:: 1 + len(rows.train) // len(rows.validation)])
    )
    lr = LR_FULL * learning.applied.lr_scale * min(1.0, LR_DIM / lr_dim(model.config))
    habit = Habit(epochs=EPOCHS, min_steps=MIN_STEPS, lr=lr, max_epochs=MAX_EPOCHS)
    plan = planned(settings, batches.steps_per_epoch, habit)
    run = Run(
        model=model,
        batches=batches,
        objective=supervised_tokens,
        settings=plan,
        evaluate=partial(_evaluate, model, validation),
        evaluate_train=partial(_evaluate, model, seen),
        lr_scale=learning.lr_scale,
        first_step=learning.first_step,
    )

    def finish(facts: Facts) -> Facts:
        _save(model, tokenizer, learning.applied, folder, out)
        if n_new:  # it would not fit the model that it was made on, which lacks the tokens
            shutil.rmtree(out / ADAPTER, ignore_errors=True)
        write_jsonl(out / "rejects.jsonl", rows.rejects)
        counts = {
            "train_rows": len(rows.train),
            "validation_rows": len(rows.validation),
            "train_targets": batches.n_targets,
            "rejected_rows": len(rows.rejects),
        }
        return facts | {
            "counts": facts["counts"] | counts,
            "family": model.config.family,
            "method": settings.method,
            "lr": plan.lr,
            "max_len": max_len,
        }

    return Prepared(run, finish)


def close(trained: Trained) -> Closed:
    """Say what the held-out answers cost before, and now."""
    facts, out = trained.facts, trained.out
    before, now = facts["first"]["loss"], facts["best"]["loss"]
    return Closed(
        {"out": str(out), "first": facts["first"], "best": facts["best"]},
        (f"nats per token of held-out answers: {before:.3f} before, {now:.3f} now", f"luban chat {out}"),
    )


@torch.no_grad()
def _evaluate(model: Model, rows: PackedRows) -> dict[str, float]:
    """Return the loss, in nats per token of the answers."""
    model.eval()
    device = next(model.parameters()).device
    total, n_targets = 0.0, 0
    for batch in rows.in_order():
        loss = supervised_tokens(model, batch.to(device))
        total, n_targets = total + loss.total.item(), n_targets + int(loss.n_targets)
    return {"loss": total / n_targets}


def _save(model: Model, tokenizer: Tokenizer, applied: Applied, base: Path, out: Path) -> None:
    model.to("cpu")
    applied.save(model, out, base)
    tokenizer.save(out)
    record(model, tokenizer, PROMPTS, out / GOLDEN)
