"""What the settings of a task leave open, decided: how long, how fast, when to look and to save."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TypeVar

from luban.tasks.tune_settings import TuneSettings

MAX_EPOCHS = 20
S = TypeVar("S", bound=TuneSettings)


@dataclass(frozen=True, kw_only=True, slots=True)
class Habit:
    """What a task does where its settings name no length and no learning rate."""

    epochs: float
    """So many passes over the rows,"""
    min_steps: int
    """and more over few rows, to take about so many steps,"""
    lr: float
    """at this peak learning rate."""
    max_epochs: float = MAX_EPOCHS
    """But never more passes than so many."""


def planned(settings: S, steps_per_epoch: int, habit: Habit) -> S:
    """Return the settings with everything that was left open decided; a look after each epoch."""
    usual = min(habit.max_epochs, max(habit.epochs, math.ceil(habit.min_steps / steps_per_epoch)))
    steps = settings.steps or max(2, math.ceil((settings.epochs or usual) * steps_per_epoch))
    often = min(steps_per_epoch, steps)
    return dataclasses.replace(
        settings,
        epochs=None,
        steps=steps,
        lr=settings.lr or habit.lr,
        evaluate_every_steps=settings.evaluate_every_steps or often,
        save_every_steps=settings.save_every_steps or often,
    )
