"""Reward models: pairs of a better and a worse answer → one score that is higher for the better.

The head stands on the last token of a conversation, so a reward is read where the answer ends. The folder
is a Hugging Face classifier of one label (num_labels = 1), whose logit is the reward.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from luban.data.encoding import Unreadable
from luban.data.messages import check_order, read_messages, read_tools
from luban.data.row_groups import Row, RowGroups, padded
from luban.errors import CheckpointError, ConfigError, DataError
from luban.files import write_jsonl
from luban.log import Log
from luban.models.config import HeadConfig
from luban.models.model import Model
from luban.models.width import lr_dim
from luban.objectives.reward import reward
from luban.stages import Facts
from luban.tasks.judged_batches import pair_batches, read_encoded
from luban.tasks.opened import open_tuned
from luban.tasks.planning import Habit, planned
from luban.tasks.prefer_settings import RewardSettings
from luban.tasks.prepared import Prepared
from luban.tasks.start import let_learn, longest_row, open_model
from luban.tasks.task import Closed, Predictor, Trained
from luban.tokenizer import load_tokenizer
from luban.tokenizer.chat import ChatTemplate, encode_chat
from luban.train.run import Run

LABEL = "reward"
LR_FULL, LR_DIM = 5e-5, 576
HABIT_EPOCHS, MIN_STEPS, MAX_EPOCHS = 1, 60, 5
HEAD = HeadConfig(kind="classes", n_classes=1, labels=(LABEL,), answer="number", pool="last")
ROWS_PER_BATCH = 8


def prepare(settings: RewardSettings, inputs: Mapping[str, Path], out: Path, log: Log) -> Prepared:
    """Read pairs and the model, put a head of one score on it, and let that learn."""
    folder = inputs["model"]
    model = open_model(folder, settings.surgery, head=HEAD, log=log, seed=settings.seed)
    if getattr(model.config.trunk, "sight", "") != "causal" or model.config.encoder is not None:
        raise ConfigError(
            f"{folder} is a {model.config.family} model, which does not end where the answer ends",
            fix="give a decoder, such as a llama, qwen or gpt2 model",
        )
    tokenizer = load_tokenizer(folder)
    tokenizer.check_fits(model.config.vocab_size, folder)
    max_len = longest_row(model, settings)
    rows = read_encoded(inputs, tokenizer, max_len, settings.validation)
    if rows.rejects:
        log.warn(f"{len(rows.rejects)} rows are set aside; the first: {rows.rejects[0]['reason']}")
    train, validation = (
        pair_batches(part, settings, model.config.pad_id) for part in (rows.train, rows.validation)
    )
    learning = let_learn(model, settings)
    lr = LR_FULL * learning.applied.lr_scale * min(1.0, LR_DIM / lr_dim(model.config))
    habit = Habit(epochs=HABIT_EPOCHS, min_steps=MIN_STEPS, lr=lr, max_epochs=MAX_EPOCHS)
    plan = planned(settings, train.steps_per_epoch, habit)
    run = Run(
        model=model,
        batches=train,
        objective=reward,
        settings=plan,
        evaluate=partial(_evaluate, model, validation),
        lr_scale=learning.lr_scale,
        first_step=learning.first_step,
    )

    def finish(facts: Facts) -> Facts:
        model.to("cpu")
        learning.applied.save(model, out, folder)
        tokenizer.save(out)
        write_jsonl(out / "rejects.jsonl", rows.rejects)
        counts = {
            "train_rows": len(rows.train.judged),
            "validation_rows": len(rows.validation.judged),
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
    """Say how often the better of two held-out answers scores higher, before and now."""
    before, now, out = trained.facts["first"], trained.facts["best"], trained.out
    table = tuple((name, f"{before[name]:.4f}", f"{now[name]:.4f}") for name in now if name != "step")
    return Closed(
        {"out": str(out), "first": before, "best": now},
        (f"luban evaluate {out} {trained.inputs['data']}     luban predict {out} CONVERSATIONS",),
        ("held-out score", "before", "now"),
        table,
    )


class RewardModel:
    """A reward model that is ready to judge conversations."""

    def __init__(self, folder: Path):
        self.model, self.tokenizer = open_tuned(folder)
        head = self.model.config.head
        if head.kind != "classes" or head.n_classes != 1:
            raise CheckpointError(
                f"{folder} gives no single score, so it is no reward model",
                fix="train one: luban train --task reward --model FOLDER --data PAIRS --out OUT",
            )

    @torch.no_grad()
    def scores(self, rows: Sequence[list[int]]) -> list[float]:
        """Return the reward of each row of ids."""
        self.model.eval()
        order = sorted(range(len(rows)), key=lambda i: -len(rows[i]))
        found = [0.0] * len(rows)
        for start in range(0, len(order), ROWS_PER_BATCH):
            part = order[start : start + ROWS_PER_BATCH]
            flagged: list[Row] = [(rows[i], [True] * len(rows[i])) for i in part]
            tokens, documents, _ = padded(flagged, self.model.config.pad_id or 0)
            for i, value in zip(part, self.model(tokens, documents)[:, 0].tolist(), strict=True):
                found[i] = value
        return found

    def judge(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return {"reward"} of each row of messages, the last turn the assistant's."""
        with ChatTemplate(self.tokenizer) as template:
            ids = [_ids(template, row, self.model.config.max_len) for row in rows]
        return [{"reward": value} for value in self.scores(ids)]


def open_rewarder(folder: Path) -> Predictor:
    """Open a reward model's folder to ask it."""
    model = RewardModel(folder)
    return Predictor(reads=("messages",), predict=model.judge, shows=("reward",))


@torch.no_grad()
def _evaluate(model: Model, batches: RowGroups) -> dict[str, float]:
    """Return the loss, and how often the better answer scores higher, and by how much."""
    model.eval()
    device = next(model.parameters()).device
    sums = {"loss": 0.0, "accuracy": 0.0, "margin": 0.0}
    for batch in batches.in_order():
        moved = batch.to(device)
        scores = model(moved.tokens, moved.documents).double().view(-1, 2)
        gap = scores[:, 0] - scores[:, 1]
        sums["loss"] += -torch.nn.functional.logsigmoid(gap).sum().item()
        sums["accuracy"] += float((gap > 0).sum() + 0.5 * (gap == 0).sum())
        sums["margin"] += gap.sum().item()
    return {name: value / len(batches) for name, value in sums.items()}


def _ids(template: ChatTemplate, row: Mapping[str, Any], max_len: int) -> list[int]:
    given = row["messages"]
    turns = [{"role": "assistant", "content": given}] if isinstance(given, str) else None
    try:
        if turns is not None:
            raise Unreadable("a text alone answers nothing: give messages, the last of them the assistant's")
        messages = list(check_order(read_messages(dict(row))))
        tools = read_tools(dict(row)) or None
    except Unreadable as e:
        raise DataError(str(e), fix='give rows {"messages": [{"role", "content"}, ...]}') from None
    ids, _ = encode_chat(template, messages, tools=tools)
    if len(ids) > max_len:
        raise DataError(f"{len(ids)} tokens, and the model reads {max_len}", fix="shorten the conversation")
    return ids
