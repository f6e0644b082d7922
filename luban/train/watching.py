"""What a look at the validation split decides: which weights are best, when to slow down, when to stop."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import nn

from luban.config import nearest
from luban.device import own_part
from luban.errors import ConfigError, LubanError
from luban.records import LOWER_IS_BETTER
from luban.train.ranks import Ranks
from luban.train.saving import RunState
from luban.train.settings import TrainSettings


def take_note(state: RunState, scores: Mapping[str, float], settings: TrainSettings) -> None:
    """Update `state` with the scores after its step; set `stopped` when the run is over."""
    name = decisive_score(scores, settings.best_by)
    if not math.isfinite(scores[name]):
        raise LubanError(
            f"step {state.step}: validation {name} is {scores[name]}",
            fix="lower lr or raise warmup_share; at step 0, the model or the data is broken",
        )
    state.last = {"step": state.step, **scores}
    state.first = state.first or state.last
    state.looks_since_best += 1
    state.looks_since_drop += 1
    if not state.best or is_better(name, scores[name], state.best[name]):
        state.best, state.looks_since_best, state.looks_since_drop = state.last, 0, 0
    if settings.schedule == "plateau" and state.looks_since_drop >= settings.plateau_looks:
        state.lr_factor *= settings.plateau_factor
        state.looks_since_drop = 0
    if state.step == settings.steps:
        state.stopped = "steps"
    elif settings.patience and state.looks_since_best >= settings.patience:
        state.stopped = "patience"


class DivergedError(LubanError):
    """Weights, or too many gradients, are not finite."""


def refuse_broken(model: nn.Module, ranks: Ranks, step: int, saved_step: int) -> None:
    """Stop a run whose weights hold a number that is not finite, before a checkpoint does."""
    broken = next((n for n, p in model.named_parameters() if p.requires_grad and _is_broken(p)), None)
    if ranks.any(broken is not None):
        raise DivergedError(
            f"step {step}: {broken or 'a weight of another process'} holds a number that is not finite",
            fix=f"lower lr; the checkpoint of step {saved_step} is sound, if there is one",
        )


@torch.no_grad()
def _is_broken(p: nn.Parameter) -> bool:
    held = own_part(p)
    return bool(held.numel()) and not math.isfinite(torch.linalg.vector_norm(held, ord=math.inf).item())


def decisive_score(scores: Mapping[str, float], best_by: str) -> str:
    """Return the name of the score that decides: the one named, else the first."""
    if not best_by:
        return next(iter(scores))
    if best_by not in scores:
        raise ConfigError(
            f"best_by = {best_by}, but this task's scores are {', '.join(scores)}",
            fix=nearest(best_by, list(scores)),
        )
    return best_by


def is_better(name: str, new: float, old: float) -> bool:
    """Whether a score has improved; losses and errors improve downwards."""
    return new < old if name in LOWER_IS_BETTER else new > old
