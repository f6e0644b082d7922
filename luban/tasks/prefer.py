"""Preference learning: pairs of a better and a worse answer → a model that answers more like the better.

The model that learning begins with is the reference of its losses. What it says of every answer is worked
out once, before the first step, so that no second model stays in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import torch

from luban.data.row_groups import RowGroups
from luban.device import choose_device, use_threads
from luban.evaluate.golden import GOLDEN, PROMPTS, record
from luban.files import write_jsonl
from luban.log import Log
from luban.models.model import Model
from luban.models.width import lr_dim
from luban.objectives.preference import PAIR_LOSSES, WITHOUT_REFERENCE, Strength, pairs, preference
from luban.objectives.unpaired import gains, unpaired
from luban.stages import Facts
from luban.tasks.chat_model import check_answers, end_turns
from luban.tasks.judged_batches import add_reference, label_batches, pair_batches, read_encoded
from luban.tasks.planning import Habit, planned
from luban.tasks.prefer_settings import PreferSettings
from luban.tasks.prepared import Prepared
from luban.tasks.start import let_learn, longest_row, open_model
from luban.tasks.task import Closed, Trained
from luban.tokenizer import load_tokenizer
from luban.train.engine import Objective
from luban.train.run import Run

LR_FULL, LR_DIM = 5e-6, 576
"""Peak learning rate of all weights in a model of that width; a wider one learns slower."""
HABIT_EPOCHS, MIN_STEPS, MAX_EPOCHS = 1, 30, 5
TIE = 1e-3
"""Two answers that differ by no more nats are alike: so much rounding moves a sum over many tokens."""


def prepare(settings: PreferSettings, inputs: Mapping[str, Path], out: Path, log: Log) -> Prepared:
    """Read preferences and the model, and let that learn which the method names."""
    folder = inputs["model"]
    model = open_model(folder, settings.surgery, log=log, seed=settings.seed)
    tokenizer = load_tokenizer(folder)
    tokenizer.check_fits(model.config.vocab_size, folder)
    check_answers(model, folder)
    max_len = longest_row(model, settings)
    is_kto = settings.loss == "kto"
    rows = read_encoded(inputs, tokenizer, max_len, settings.validation, paired=not is_kto)
    if rows.rejects:
        log.warn(f"{len(rows.rejects)} rows are set aside; the first: {rows.rejects[0]['reason']}")
    end_turns(model, tokenizer, rows.train.answers[0][0], log)
    pad_id = model.config.pad_id
    train, validation = (
        label_batches(part, settings, pad_id, size=settings.kl_group, max_len=max_len)
        if is_kto
        else pair_batches(part, settings, pad_id)
        for part in (rows.train, rows.validation)
    )
    if settings.loss not in WITHOUT_REFERENCE:
        _add_references(model, settings, train, validation)
    learning = let_learn(model, settings)
    lr = LR_FULL * learning.applied.lr_scale * min(1.0, LR_DIM / lr_dim(model.config))
    habit = Habit(epochs=HABIT_EPOCHS, min_steps=MIN_STEPS, lr=lr, max_epochs=MAX_EPOCHS)
    plan = planned(settings, train.steps_per_epoch, habit)
    objective, evaluate = _by_label(model, settings) if is_kto else _by_pair(model, settings)
    run = Run(
        model=model,
        batches=train,
        objective=objective,
        settings=plan,
        evaluate=partial(evaluate, validation),
        lr_scale=learning.lr_scale,
        first_step=learning.first_step,
    )

    def finish(facts: Facts) -> Facts:
        model.to("cpu")
        learning.applied.save(model, out, folder)
        tokenizer.save(out)
        record(model, tokenizer, PROMPTS, out / GOLDEN)
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
            "loss": settings.loss,
            "beta": settings.strength,
            "lr": plan.lr,
            "max_len": max_len,
        }

    return Prepared(run, finish)


def _add_references(model: Model, settings: PreferSettings, *parts: RowGroups) -> None:
    """Work out what the model says of every answer before it learns."""
    use_threads(settings.threads)
    model.to(choose_device(settings.device))
    for batches in parts:
        add_reference(model, batches)


def close(trained: Trained) -> Closed:
    """Say how often the better of two held-out answers is preferred, before and now."""
    facts, out = trained.facts, trained.out
    before, now = facts["first"], facts["best"]
    names = [name for name in now if name != "step"]
    table = tuple((name, f"{before[name]:.4f}", f"{now[name]:.4f}") for name in names)
    return Closed(
        {"out": str(out), "first": before, "best": now},
        (f"luban evaluate {out} {trained.inputs['data']}", f"luban chat {out}"),
        ("held-out score", "before", "now"),
        table,
    )


def _by_pair(
    model: Model, settings: PreferSettings
) -> tuple[Objective, Callable[[RowGroups], dict[str, float]]]:
    strength = Strength(
        beta=settings.strength,
        margin=settings.margin,
        label_smoothing=settings.label_smoothing,
        per_token=settings.per_token,
    )

    @torch.no_grad()
    def evaluate(batches: RowGroups) -> dict[str, float]:
        model.eval()
        device = next(model.parameters()).device
        sums = {"loss": 0.0, "accuracy": 0.0, "margin": 0.0, "likelier": 0.0}
        for batch in batches.in_order():
            found = pairs(model, batch.to(device))
            values = found.ratios if batch.reference is not None else found.means
            gap, likelier = ((v[:, 0] - v[:, 1]).double() for v in (values, found.means))
            sums["loss"] += PAIR_LOSSES[settings.loss](found, strength).sum().item()
            sums["accuracy"] += _wins(gap)
            sums["margin"] += settings.strength * gap.sum().item()
            sums["likelier"] += _wins(likelier)
        return {name: value / len(batches) for name, value in sums.items()}

    return partial(preference, name=settings.loss, strength=strength), evaluate


def _by_label(
    model: Model, settings: PreferSettings
) -> tuple[Objective, Callable[[RowGroups], dict[str, float]]]:
    objective = partial(
        unpaired,
        beta=settings.strength,
        desirable=settings.desirable_weight,
        undesirable=settings.undesirable_weight,
    )

    @torch.no_grad()
    def evaluate(batches: RowGroups) -> dict[str, float]:
        model.eval()
        device = next(model.parameters()).device
        good, bad, z_sum, loss_sum, n = [], [], 0.0, 0.0, 0
        for batch in batches.in_order():
            moved = batch.to(device)
            loss = objective(model, moved)
            gained, z = gains(model, moved)
            assert moved.signal is not None
            good.append(gained[moved.signal > 0])
            bad.append(gained[moved.signal < 0])
            loss_sum, n = loss_sum + loss.total.item(), n + int(loss.n_targets)
            z_sum += z.sum().item()
        better, worse = torch.cat(good).double(), torch.cat(bad).double()
        gaps = (better[:, None] - worse[None]).flatten()
        auc = _wins(gaps) / len(gaps) if len(gaps) else 0.5
        margin = settings.strength * (gaps.mean().item() if len(gaps) else 0.0)
        return {"loss": loss_sum / n, "auc": auc, "margin": margin, "moved": z_sum / len(batches)}

    return objective, evaluate


def _wins(gaps: torch.Tensor) -> float:
    """Return how many gaps are above 0; a tie is half a win."""
    return float((gaps > TIE).sum() + 0.5 * (gaps.abs() <= TIE).sum())
