"""Low-rank adapters (LoRA) beside layers of a finished model, put on and taken off from outside.

Source: arXiv:2106.09685; the scale for large ranks, arXiv:2312.03732.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from luban.config import nearest
from luban.errors import ConfigError
from luban.models.attention import CrossAttention, SelfAttention
from luban.models.changes import set_config
from luban.models.config import ModelConfig
from luban.models.mlp import MLP
from luban.models.model import Model
from luban.models.stems import SinusoidTable
from luban.tune.low_rank import LoraEmbedding, LoraLinear, LowRank, join
from luban.tune.settings import LoraSettings

READ_ALIKE: dict[type[nn.Module], tuple[str, ...]] = {
    SelfAttention: ("q", "k", "v"),
    CrossAttention: ("k", "v"),
    MLP: ("gate", "up"),
}
"""Layers that are always given the same x, one right after the other."""


def attach(
    model: nn.Module,
    settings: LoraSettings,
    *,
    seed: int = 1,
    linear: Callable[..., LoraLinear] = LoraLinear,
) -> tuple[str, ...]:
    """Put adapters on the layers that `settings.targets` names, and freeze all else.

    Return their names. The model computes what it did before, since one half of each begins as zero.
    `linear` makes the adapter of a linear layer, as `LoraLinear` does.
    """
    names = _matching(model, settings.targets)
    model.requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    layers: dict[str, LowRank] = {}
    for name in names:
        base = model.get_submodule(name)
        rank = _rank(settings, name)
        if isinstance(base, nn.Embedding):
            layer: LowRank = LoraEmbedding(
                base, *_first_of_table(base, rank, generator), settings.scale(rank)
            )
        else:
            assert isinstance(base, nn.Linear)
            layer = linear(
                base, *_first_of_linear(base, rank, generator), settings.scale(rank), settings.dropout
            )
        layer.is_rslora = settings.rslora
        layers[name] = layer
    put_on(model, layers)
    return names


def put_on(model: nn.Module, layers: Mapping[str, nn.Module]) -> None:
    """Replace layers by others of the same names."""
    for name, layer in layers.items():
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, layer)
    if isinstance(model, Model):
        model.tie()  # the encoder reads the same table
    for module in model.modules():
        join(list(_members(module)))


def adapted(model: nn.Module) -> dict[str, LowRank]:
    """Return the adapted layers by name."""
    return {name: m for name, m in model.named_modules() if isinstance(m, LowRank)}


def merge(model: nn.Module) -> None:
    """Fold every adapter into its matrix; what the matrix was is kept for `unmerge`.

    A head that was tied to an adapted table is one of its own from then on.
    """
    for layer in adapted(model).values():
        layer.merge()
    _say_tied(model)


def unmerge(model: nn.Module) -> None:
    """Give every matrix back what it was before `merge`, bit for bit."""
    for layer in adapted(model).values():
        layer.unmerge()
    _say_tied(model)


def detach(model: nn.Module) -> None:
    """Take the adapters off: plain layers remain, with the matrices as they are now."""
    put_on(model, {name: layer.plain() for name, layer in adapted(model).items()})


def _say_tied(model: nn.Module) -> None:
    """Let the config say whether the head's matrix is the table."""
    if not isinstance(model, Model) or not isinstance(model.stem.tokens, LoraEmbedding):
        return
    head = model.config.head
    is_tied = head.kind == "tokens" and model.head.weight is model.stem.tokens.weight
    if head.kind == "tokens" and head.tied != is_tied:
        set_config(model, with_tied(model.config, is_tied))


def with_tied(config: ModelConfig, tied: bool) -> ModelConfig:
    """Return a config whose token scores use the embedding, or a matrix of their own."""
    return dataclasses.replace(config, head=dataclasses.replace(config.head, tied=tied))


def _rank(settings: LoraSettings, name: str) -> int:
    own = (rank for pattern, rank in settings.ranks.items() if fnmatchcase(name, pattern))
    return next(own, settings.rank)


def _first_of_linear(base: nn.Linear, rank: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw A as a linear layer of torch begins, and as peft does; B is zero."""
    bound = 1 / math.sqrt(base.in_features)
    a = torch.empty(rank, base.in_features).uniform_(-bound, bound, generator=generator)
    return a, torch.zeros(base.out_features, rank)


def _first_of_table(base: nn.Embedding, rank: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw B, as peft does; A, one column a token, is zero."""
    b = torch.empty(base.embedding_dim, rank).normal_(generator=generator)
    return torch.zeros(rank, base.num_embeddings), b


def _matching(model: nn.Module, targets: Sequence[str]) -> tuple[str, ...]:
    if adapted(model):
        raise ConfigError("the model has adapters already", fix="merge them and take them off first")
    fit = [name for name, m in model.named_modules() if can_adapt(m)]
    found: dict[str, None] = {}
    for pattern in targets:
        matched = [name for name in fit if fnmatchcase(name, pattern)]
        if not matched:
            raise ConfigError(
                f"lora.targets: {pattern!r} matches no linear layer or table", fix=_near(pattern, fit)
            )
        found |= dict.fromkeys(matched)
    if not found:
        raise ConfigError("lora.targets is empty, so there is nothing to learn", fix="name some layers")
    return tuple(name for name in fit if name in found)


def can_adapt(module: nn.Module) -> bool:
    """Whether a layer can have an adapter: linear ones and tables that are not computed."""
    return isinstance(module, nn.Linear | nn.Embedding) and not isinstance(module, SinusoidTable)


def _near(pattern: str, names: Sequence[str]) -> str:
    return nearest(pattern, sorted({f"*.{name.rpartition('.')[2]}" for name in names}))


def _members(parent: nn.Module) -> Iterator[LoraLinear]:
    for name in READ_ALIKE.get(type(parent), ()):
        layer = getattr(parent, name)
        if type(layer) is LoraLinear:
            yield layer
