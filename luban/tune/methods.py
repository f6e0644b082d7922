"""Ways to tune a finished model: what learns, and how what was learnt is saved. The one seam for tasks.

applied = apply_method(model, settings.method, settings)    # before training
applied.save(model, out, base=folder)                       # after it
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from luban.config import nearest
from luban.errors import ConfigError
from luban.models.load import save_model
from luban.models.model import Model
from luban.tune.lora import attach, detach, merge
from luban.tune.low_rank import DoraLinear
from luban.tune.peft_folder import save_adapter
from luban.tune.peft_names import NEW_HEADS
from luban.tune.settings import LoraSettings

ADAPTER = "adapter"
"""Folder beside the weights that holds the adapter alone, as `peft` reads it."""


class MethodSettings(Protocol):
    """The part of a run's settings that decides what learns."""

    @property
    def seed(self) -> int:
        """Decides the first values of what is added."""
        ...

    @property
    def lora(self) -> LoraSettings:
        """Low-rank adapters."""
        ...


@dataclass(frozen=True, slots=True)
class Method:
    """One way to tune: how to prepare a model, and how to save it."""

    put_on: Callable[[Model, MethodSettings], None]
    """Freeze what rests, and add what is to learn."""
    save: Callable[[Model, Path, str], None]
    """(model, out, base) -> the folder `out`; leaves the model as the folder holds it."""
    lr_scale: float
    """Its peak learning rate as a multiple of that of full fine-tuning."""


@dataclass(frozen=True, slots=True)
class Applied:
    """A method at work on a model."""

    method: str
    n_learning: int
    """Numbers that learn."""
    n_total: int
    """Numbers of the model, with what the method has added."""
    lr_scale: float
    """The method's peak learning rate as a multiple of that of full fine-tuning."""

    def save(self, model: Model, out: Path, base: str | Path) -> None:
        """Write a folder that `luban.load` opens; `base` is where the model came from.

        What can be folded into the weights is, so that `out` is an ordinary Hugging Face folder; the
        adapter alone then stands in out/adapter. What cannot be folded leaves the adapter in `out` and
        the model it stands on in out/base.
        """
        METHODS[self.method].save(model, out, str(base))


def apply_method(model: Model, method: str, settings: MethodSettings) -> Applied:
    """Let that of a model learn which a method trains; a new head for classes, tags or spans always does.

    apply_method(model, "lora", settings) before the optimizer is built.
    """
    if method not in METHODS:
        raise ConfigError(f"method = {method!r} is no way to tune", fix=nearest(method, METHODS))
    chosen = METHODS[method]
    chosen.put_on(model, settings)
    parameters = list(model.parameters())
    n_learning = sum(p.numel() for p in parameters if p.requires_grad)
    return Applied(method, n_learning, sum(p.numel() for p in parameters), chosen.lr_scale)


def _full(model: Model, settings: MethodSettings) -> None:
    """Let everything learn."""


def _head(model: Model, settings: MethodSettings) -> None:
    """Let the head alone learn."""
    model.requires_grad_(False)
    model.head.requires_grad_(True)
    model.stem.requires_grad_(False)  # a tied head is the stem's
    if not any(p.requires_grad for p in model.parameters()):
        raise ConfigError(
            f"method = 'head' leaves nothing to learn: the {model.config.head.kind} head of this "
            f"{model.config.family} model has no weights of its own",
            fix="use method lora",
        )


def _lora(model: Model, settings: MethodSettings) -> None:
    attach(model, settings.lora, seed=settings.seed)
    _wake_head(model)


def _dora(model: Model, settings: MethodSettings) -> None:
    attach(model, settings.lora, seed=settings.seed, linear=DoraLinear)
    _wake_head(model)


def _wake_head(model: Model) -> None:
    if model.config.head.kind in NEW_HEADS:
        model.head.requires_grad_(True)


def _save_whole(model: Model, out: Path, base: str) -> None:
    save_model(model, out)


def _save_folded(model: Model, out: Path, base: str) -> None:
    save_adapter(model, out / ADAPTER, base=base)
    merge(model)
    detach(model)
    save_model(model, out)


METHODS: dict[str, Method] = {
    "full": Method(_full, _save_whole, 1.0),
    "head": Method(_head, _save_whole, 10.0),
    "lora": Method(_lora, _save_folded, 5.0),
    "dora": Method(_dora, _save_folded, 5.0),
}
"""Name → what it does."""
