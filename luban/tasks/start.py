"""The model that training starts from: built anew, or read from a folder and changed as settings ask."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from luban.errors import CheckpointError, ConfigError
from luban.log import Log
from luban.models.changes import Changes
from luban.models.config import HeadConfig, ModelConfig
from luban.models.families import FAMILIES
from luban.models.load import load_model
from luban.models.model import Model
from luban.models.width import width_lr_scale
from luban.tasks.model_settings import ModelSettings, SurgerySettings
from luban.tasks.tune_settings import TuneSettings
from luban.tokenizer import Tokenizer, load_tokenizer
from luban.tune.freeze import freeze, freeze_layers, lr_scale, thaw_from_above
from luban.tune.front import front_of
from luban.tune.load import base_of, is_adapter
from luban.tune.methods import Applied, apply_method
from luban.tune.surgery import (
    change_activation,
    extend_vocabulary,
    insert_identity_layers,
    keep_layers,
    stretch_rope,
    upscale_depth,
)


def new_config(choice: ModelSettings, tokenizer: Tokenizer, head: HeadConfig | None = None) -> ModelConfig:
    """Return the config of a new model for a tokenizer."""
    chosen = {key: value for key, value in dataclasses.asdict(choice).items() if value is not None}
    family, size = FAMILIES[chosen.pop("family")], chosen.pop("size")
    return family.config(
        size,
        vocab_size=tokenizer.vocab_size,
        head=head,
        pad_id=tokenizer.pad_id,
        bos_id=tokenizer.bos_id,
        eos_id=tokenizer.eos_id,
        **chosen,
    )


def open_model(
    folder: Path,
    surgery: SurgerySettings,
    *,
    head: HeadConfig | None = None,
    tokenizer: Tokenizer | None = None,
    log: Log | None = None,
    seed: int = 1,
) -> Model:
    """Read a model folder and change it; `tokenizer` is the one that `extend_vocabulary` asks for."""
    if is_adapter(folder):
        raise CheckpointError(
            f"{folder} is an adapter beside its model, and training starts from a whole model",
            fix=f"train from the model under it, {base_of(folder)}, or tune that by lora, which is folded",
        )
    changes = Changes(
        vocab_size=surgery.vocab_size,
        new_rows=surgery.new_rows,
        max_len=surgery.max_len,
        reinit=surgery.reinit,
    )
    model = load_model(folder, head=head, changes=changes, log=log, seed=seed)
    for what in _operate(model, surgery, folder, tokenizer):
        if log:
            log.say(f"{folder}: {what}")
    return model


@dataclass(frozen=True, slots=True)
class Learning:
    """What of a model learns, how fast, and from which step on."""

    applied: Applied
    lr_scale: Callable[[str], float]
    first_step: Callable[[str], int] | None
    """None: everything that learns does from the first step."""


def let_learn(model: Model, settings: TuneSettings) -> Learning:
    """Let that of a model learn which the settings name; what they freeze rests whatever the method."""
    applied = apply_method(model, settings.method, settings)
    freeze_layers(model, settings.freeze_layers)
    freeze(model, settings.freeze)
    every = settings.thaw_every_steps
    return Learning(
        applied,
        by_depth_and_width(model, settings.layer_lr_decay, settings.head_lr_scale),
        thaw_from_above(model, every) if every else None,
    )


def longest_row(model: Model, settings: TuneSettings) -> int:
    """Return how many tokens a row may have; what the method puts in front of it takes up room."""
    is_fronted = settings.method in ("prompt", "prefix") and front_of(model) is None
    return min(settings.max_len, model.config.max_len - (settings.front.n if is_fronted else 0))


def by_depth_and_width(
    model: Model, layer_lr_decay: float, head_lr_scale: float = 1.0
) -> Callable[[str], float]:
    """Return parameter name → multiple of the learning rate: smaller below, and as muP wants it."""
    by_depth = lr_scale(model, head_lr_scale, layer_lr_decay)
    by_width = width_lr_scale(model, model.config)
    return lambda name: by_depth(name) * by_width(name)


def refuse_surgery(surgery: SurgerySettings) -> None:
    """Say that there is nothing to change where a model is built."""
    if surgery != SurgerySettings():
        raise ConfigError(
            "surgery changes a model folder, and none is given", fix="give --model FOLDER, or set model.*"
        )


def _operate(model: Model, surgery: SurgerySettings, folder: Path, tokenizer: Tokenizer | None) -> list[str]:
    """Change the structure; return what was done, a line each."""
    done = []
    n_layers, n_rows, longest = model.config.n_layers, model.config.vocab_size, model.config.max_len
    if surgery.extend_vocabulary:
        if tokenizer is None:
            raise ConfigError(
                "surgery.extend_vocabulary needs another tokenizer", fix="give one: --tokenizer FOLDER"
            )
        extend_vocabulary(model, load_tokenizer(folder), tokenizer)
        done.append(f"rows of {n_rows} tokens made those of the new tokenizer's {model.config.vocab_size}")
    if surgery.keep_layers:
        keep_layers(model, surgery.keep_layers)
        dropped = [i for i in range(n_layers) if i not in surgery.keep_layers]
        done.append(f"layers {', '.join(map(str, dropped)) or 'none'} of {n_layers} dropped")
    if surgery.depth_upscale is not None:
        before = model.config.n_layers
        upscale_depth(model, surgery.depth_upscale)
        done.append(f"{before} layers stacked to {model.config.n_layers}")
    if surgery.identity_after:
        insert_identity_layers(model, surgery.identity_after)
        done.append(f"layers that add nothing inserted after {', '.join(map(str, surgery.identity_after))}")
    if surgery.activation is not None:
        change_activation(model, surgery.activation)
        done.append(f"activation made {surgery.activation}")
    if surgery.rope_scaling is not None:
        stretch_rope(model, surgery.rope_scaling.kind, surgery.rope_scaling.factor)
        done.append(
            f"positions stretched from {longest} to {model.config.max_len} ({surgery.rope_scaling.kind})"
        )
    return done
