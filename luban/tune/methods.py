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
from luban.files import read_json, write_json
from luban.models.load import save_model
from luban.models.model import Model
from luban.tune.bottleneck import attach_bottlenecks, detach_bottlenecks, save_bottlenecks
from luban.tune.front import Kind, attach_front, detach_front, first_table
from luban.tune.front_folder import save_front
from luban.tune.lora import attach, detach, merge, put_on
from luban.tune.low_rank import DoraLinear
from luban.tune.peft_folder import save_adapter
from luban.tune.peft_names import NEW_HEADS
from luban.tune.quantised import attach_qlora, unpack_linears
from luban.tune.settings import BottleneckSettings, FrontSettings, LoraSettings, QuantiseSettings

ADAPTER, BASE = "adapter", "base"
"""Folder beside the weights that holds the adapter alone, as `peft` reads it; folder beside an adapter that
cannot be folded, with the model under it."""


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

    @property
    def quantise(self) -> QuantiseSettings:
        """Bits of what rests."""
        ...

    @property
    def front(self) -> FrontSettings:
        """Prompt or prefix."""
        ...

    @property
    def bottleneck(self) -> BottleneckSettings:
        """Small MLPs in the blocks."""
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


def _qlora(model: Model, settings: MethodSettings) -> None:
    attach_qlora(model, settings.lora, settings.quantise, seed=settings.seed)
    _wake_head(model)


def _prompt(model: Model, settings: MethodSettings) -> None:
    _put_in_front(model, "prompt", settings)


def _prefix(model: Model, settings: MethodSettings) -> None:
    _put_in_front(model, "prefix", settings)


def _put_in_front(model: Model, kind: Kind, settings: MethodSettings) -> None:
    model.requires_grad_(False)
    attach_front(model, kind, first_table(model, kind, settings.front.n, settings.seed))
    _wake_head(model)


def _bottleneck(model: Model, settings: MethodSettings) -> None:
    attach_bottlenecks(model, settings.bottleneck, seed=settings.seed)
    _wake_head(model)


def _bitfit(model: Model, settings: MethodSettings) -> None:
    """Let the biases alone learn. Source: arXiv:2106.10199."""
    model.requires_grad_(False)
    biases = [p for name, p in model.named_parameters() if name.endswith(".bias")]
    if not biases:
        raise ConfigError(
            f"method = 'bitfit' tunes biases, and this {model.config.family} model has none",
            fix="use method lora",
        )
    for p in biases:
        p.requires_grad_(True)
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
    unpack_linears(model)
    save_model(model, out)


def _save_fronted(model: Model, out: Path, base: str) -> None:
    front = detach_front(model)
    _save_base(model, out)
    attach_front(model, front.kind, front.table.detach())
    save_front(model, out, base=BASE)


def _save_bottlenecked(model: Model, out: Path, base: str) -> None:
    layers = detach_bottlenecks(model)
    _save_base(model, out)
    put_on(model, layers)
    save_bottlenecks(model, out, base=BASE)


def _save_base(model: Model, out: Path) -> None:
    """Write the model under an adapter that stands in `out`; config.json there says what it is, too."""
    save_model(model, out / BASE)
    write_json(out / "config.json", read_json(out / BASE / "config.json"))


METHODS: dict[str, Method] = {
    "full": Method(_full, _save_whole, 1.0),
    "head": Method(_head, _save_whole, 10.0),
    "lora": Method(_lora, _save_folded, 5.0),
    "dora": Method(_dora, _save_folded, 5.0),
    "qlora": Method(_qlora, _save_folded, 5.0),
    "prompt": Method(_prompt, _save_fronted, 100.0),
    "prefix": Method(_prefix, _save_fronted, 20.0),
    "bottleneck": Method(_bottleneck, _save_bottlenecked, 5.0),
    "bitfit": Method(_bitfit, _save_whole, 10.0),
}
"""Name → what it does."""
