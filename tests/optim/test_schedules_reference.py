"""Schedules against those of torch and of Hugging Face.

Hugging Face's count from 0, so that a run's first step has the rate 0 and its last is not quite the lowest;
ours count from 1. At the same number the values are the same.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from luban.optim.schedules import AFTER_PEAK, lr_at
from luban.train.settings import TrainSettings

N_STEPS, N_WARMUP, N_FALLING = 40, 8, 10
Scheduler = torch.optim.lr_scheduler.LRScheduler


def theirs(make: Callable[[torch.optim.Optimizer], Scheduler], n_steps: int = N_STEPS) -> list[float]:
    """Return the rates of their steps 0 .. n_steps, for a peak of 1."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler, rates = make(optimizer), []
    for _ in range(n_steps + 1):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return rates


def ours(schedule: str, **changes: float) -> list[float]:
    settings = TrainSettings(
        steps=N_STEPS,
        lr=1.0,
        schedule=schedule,  # type: ignore[arg-type]
        warmup_share=N_WARMUP / N_STEPS,
        decline_share=N_FALLING / N_STEPS,
        **({"min_lr_share": 0.0} | changes),  # type: ignore[arg-type]
    )
    return [lr_at(settings)(step) for step in range(1, N_STEPS + 1)]


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant", "wsd", "inverse_sqrt", "plateau"])
def test_a_schedule_equals_hugging_faces(schedule: str) -> None:
    hf = pytest.importorskip("transformers.optimization")
    steps = {"num_warmup_steps": N_WARMUP, "num_training_steps": N_STEPS}
    falls = {"num_warmup_steps": N_WARMUP, "num_decay_steps": N_FALLING, "decay_type": "linear"}
    make: dict[str, Callable[[torch.optim.Optimizer], Scheduler]] = {
        "cosine": lambda o: hf.get_cosine_schedule_with_warmup(o, **steps),
        "linear": lambda o: hf.get_linear_schedule_with_warmup(o, **steps),
        "constant": lambda o: hf.get_constant_schedule_with_warmup(o, N_WARMUP),
        "plateau": lambda o: hf.get_constant_schedule_with_warmup(o, N_WARMUP),
        "wsd": lambda o: hf.get_wsd_schedule(o, num_training_steps=N_STEPS, **falls),
        "inverse_sqrt": lambda o: hf.get_inverse_sqrt_schedule(o, N_WARMUP),
    }
    assert ours(schedule) == pytest.approx(theirs(make[schedule])[1:], abs=1e-12)


def test_a_cosine_that_ends_above_zero_equals_hugging_faces() -> None:
    hf = pytest.importorskip("transformers.optimization")
    make = hf.get_cosine_with_min_lr_schedule_with_warmup
    rates = theirs(lambda o: make(o, N_WARMUP, N_STEPS, min_lr_rate=0.2))
    assert ours("cosine", min_lr_share=0.2) == pytest.approx(rates[1:])


def test_one_cycle_equals_torchs() -> None:
    make = torch.optim.lr_scheduler.OneCycleLR
    rates = theirs(
        lambda o: make(
            o, 1.0, total_steps=N_STEPS, pct_start=N_WARMUP / N_STEPS, final_div_factor=1 / 25 / 0.2
        ),
        N_STEPS - 1,
    )
    assert ours("one_cycle", min_lr_share=0.2) == pytest.approx(rates)


@pytest.mark.parametrize("schedule", AFTER_PEAK)
@pytest.mark.parametrize("n_steps", [1, 2, 3, 7])
def test_a_short_run_never_leaves_the_range(schedule: str, n_steps: int) -> None:
    settings = TrainSettings(steps=n_steps, lr=1.0, schedule=schedule, warmup_share=0.5, decline_share=0.5)  # type: ignore[arg-type]
    rates = [lr_at(settings)(step) for step in range(1, n_steps + 1)]
    assert all(0.0 < rate <= 1.0 for rate in rates)
    assert max(rates) == 1.0


def test_a_fall_that_rounding_lets_begin_before_the_peak_begins_at_it() -> None:
    settings = TrainSettings(
        steps=7, lr=1.0, schedule="wsd", warmup_share=0.5, decline_share=0.5, min_lr_share=0.1
    )
    rates = [lr_at(settings)(step) for step in range(1, 8)]
    assert rates == pytest.approx([0.25, 0.5, 0.75, 1.0, 0.7, 0.4, 0.1])
