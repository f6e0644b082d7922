"""Where each of our weights is in the family's own files, which is how `peft` names layers."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from luban.errors import CheckpointError
from luban.models.family import Name
from luban.models.folder import write_config
from luban.models.model import Model
from luban.tune.lora import can_adapt

PREFIX = "base_model.model."
"""What `peft` puts before the names of the model inside it."""
BASE_LAYER = ".base_layer."
"""What it puts into the names of weights under an adapter, where it saves the base's own beside that."""
NEW_HEADS = {"classes": "SEQ_CLS", "tags": "TOKEN_CLS", "spans": "QUESTION_ANS"}
"""Heads that a task puts on anew, and `peft`'s word for such a model."""


def layer_homes(model: Model) -> dict[str, Name]:
    """Return our name of each weight that can have an adapter → its place in the family's files."""
    return homes(model, {f"{name}.weight" for name, m in model.named_modules() if can_adapt(m)})


def homes(model: Model, names: set[str]) -> dict[str, Name]:
    """Return the place of each of these tensors; our own name where no family's file can say the model."""
    _, form = write_config(model.config)
    if form is None:
        return {name: Name(name, name) for name in names}
    found: dict[str, Name] = {}
    strip = form.prefix if model.config.head.kind in ("none", "vector") else ""
    for name in form.tensors(model.config):
        is_asked = name.ours not in found or name.when is not None
        if name.ours in names and is_asked and name.fits(model.config):
            found[name.ours] = Name(
                name.ours, name.theirs.removeprefix(strip), name.part, transpose=name.transpose
            )
    return found


def inner_prefix(model: Model) -> str:
    """Return what models with a head put before the trunk's names, and those without leave out."""
    _, form = write_config(model.config)
    return "" if form is None else form.prefix


def module_of(tensor: str) -> str:
    """Return the layer that a tensor belongs to."""
    return tensor.rpartition(".")[0]


def task_type(model: Model) -> str | None:
    """Return `peft`'s word for what the model does; none where `peft` would look for another head."""
    config = model.config
    if config.head.kind in NEW_HEADS:
        return NEW_HEADS[config.head.kind]
    if config.head.kind != "tokens":
        return None
    if config.encoder is not None:
        return "SEQ_2_SEQ_LM"
    return "CAUSAL_LM" if getattr(config.trunk, "sight", "causal") == "causal" else None


def head_tensors(model: Model) -> dict[str, Tensor]:
    """Return the weights of a new head under the family's names; nothing for other heads."""
    if model.config.head.kind not in NEW_HEADS:
        return {}
    ours = {name: p for name, p in model.named_parameters() if name.startswith("head.")}
    return {home.theirs: ours[name].detach() for name, home in homes(model, set(ours)).items()}


def place_tensors(model: Model, tensors: Mapping[str, Tensor], where: object) -> None:
    """Give a model whole tensors that came with an adapter, such as those of its head."""
    parameters = dict(model.named_parameters())
    prefix = inner_prefix(model)
    head = model.config.head
    if head.kind == "tokens" and head.tied:
        parameters["head.weight"] = parameters["stem.tokens.weight"]
    by_theirs = {h.theirs.removeprefix(prefix): h for h in homes(model, set(parameters)).values()}
    for key, tensor in tensors.items():
        home = by_theirs.get(key.removeprefix(prefix).replace(BASE_LAYER, "."))
        if home is None or home.part[1] > 1:
            raise CheckpointError(
                f"{where} holds {key}, for which this {model.config.family} model with a {head.kind} head "
                "has no place",
                fix="open the adapter over a model of the kind that it was made for",
            )
        piece, parameter = tensor.t() if home.transpose else tensor, parameters[home.ours]
        if piece.shape != parameter.shape:
            raise CheckpointError(
                f"{where}: {key} is {tuple(tensor.shape)}, and the model's {tuple(parameter.shape)}",
                fix="use the model that the adapter was made for",
            )
        if torch.equal(piece, parameter):
            continue
        if BASE_LAYER in key:
            raise CheckpointError(
                f"{where} was made for another model: {key} holds other numbers",
                fix="use the model that the adapter was made for",
            )
        if head.kind == "tokens" and head.tied and home.ours in ("stem.tokens.weight", "head.weight"):
            raise CheckpointError(
                f"{where} brings {key} of its own, but the model's head and embedding share one matrix",
                fix="merge the adapter with peft, and use that",
            )
        module, _, last = home.ours.rpartition(".")  # a new one: others may share the old
        setattr(model.get_submodule(module), last, nn.Parameter(piece.contiguous()))
