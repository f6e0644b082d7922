"""Another vocabulary size, another length, or parts that begin anew: for a model that is there already."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

import torch
from torch import Tensor, nn

from luban.config import nearest
from luban.errors import ConfigError
from luban.models.config import ModelConfig, TransformerConfig
from luban.models.initialise import initialise
from luban.models.model import Model
from luban.models.stems import SinusoidTable, TokenStem
from luban.models.transformer import Transformer

SCORES = ("head.weight", "head.bias")
ROLES = ("pad_id", "bos_id", "eos_id", "start_id")


@dataclass(frozen=True, kw_only=True, slots=True)
class Changes:
    """What `load_model` is to change in the model that a folder holds."""

    vocab_size: int | None = None
    """Cut the last tokens off, or add new ones."""
    new_rows: Literal["mean", "fresh"] = "mean"
    """How added tokens begin: as the mean of the others, or drawn."""
    max_len: int | None = None
    """Learned positions are cut, or drawn out by interpolation; other kinds just count further."""
    reinit: tuple[str, ...] = ()
    """Patterns of parameters that begin anew, such as "trunk.blocks.5.*" or "head.*"."""


def apply_changes(model: Model, changes: Changes, seed: int = 1) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Change `model` in place; return the names of what has another shape now, and of what began anew."""
    before = {name: p.shape for name, p in model.named_parameters()}
    if changes.vocab_size is not None:
        resize_vocabulary(model, changes.vocab_size, new_rows=changes.new_rows, seed=seed)
    if changes.max_len is not None:
        resize_positions(model, changes.max_len)
    resized = tuple(name for name, p in model.named_parameters() if p.shape != before[name])
    return resized, reinitialise(model, changes.reinit, seed) if changes.reinit else ()


def resize_vocabulary(
    model: Model, vocab_size: int, *, new_rows: Literal["mean", "fresh"] = "mean", seed: int = 1
) -> Model:
    """Cut the last tokens off, or add new ones, in place; the tokens that stay keep their numbers.

    The mean of all tokens is what a new one begins with: its score then never drowns the others'.
    """
    config = model.config
    cut = {role: id for role in ROLES if (id := getattr(config, role)) is not None and id >= vocab_size}
    if vocab_size < 1 or cut:
        least = max(cut.values(), default=0) + 1
        what = f" cuts off {', '.join(f'{role} = {id}' for role, id in cut.items())}" if cut else " is none"
        raise ConfigError(f"a vocabulary of {vocab_size} tokens{what}", fix=f"keep {least} tokens or more")

    def resized(name: str, table: Tensor) -> Tensor:
        mean = table.mean(0, keepdim=True).expand(max(0, vocab_size - len(table)), *table.shape[1:])
        return torch.cat([table[:vocab_size], mean])

    replace_rows(model, resized, vocab_size)
    if new_rows == "fresh" and vocab_size > config.vocab_size:
        _draw_rows(model, config.vocab_size, seed)
    return model


@torch.no_grad()
def replace_rows(model: Model, new: Callable[[str, Tensor], Tensor], vocab_size: int) -> None:
    """Replace each table that has a row a token: new(name, (V, ...)) -> (vocab_size, ...)."""
    tokens = model.stem.tokens
    tokens.weight = _like(tokens.weight, new("stem.tokens.weight", tokens.weight))
    tokens.num_embeddings = vocab_size
    if model.config.head.kind == "tokens":
        for name in SCORES:
            table = getattr(model.head, name.removeprefix("head."))
            if table is not None and not (name == "head.weight" and model.config.head.tied):
                setattr(model.head, name.removeprefix("head."), _like(table, new(name, table)))
    set_config(model, dataclasses.replace(model.config, vocab_size=vocab_size))
    model.tie()


@torch.no_grad()
def resize_positions(model: Model, max_len: int) -> Model:
    """Let `model` read rows of another length, in place.

    Learned positions are cut, or drawn out: row i of the longer table is the old one at i·old/new,
    between two rows their mean by nearness (as arXiv:2306.15595 does with rotary ones). Computed
    positions are computed; the length of a source that has its own stays.
    """
    if max_len < 1:
        raise ConfigError(f"max_len = {max_len} is no length", fix="set it to 1 or more")
    stems = [model.stem]
    if model.encoder is not None and isinstance(model.encoder.stem, TokenStem):
        stems += [model.encoder.stem] if not model.config.source_max_len else []
    for stem in stems:
        table = stem.positions
        if isinstance(table, SinusoidTable):
            table.weight = _like(table.weight, table.weight.new_empty(max_len, table.embedding_dim))
            table.num_embeddings = max_len
            table.fill()
        elif table is not None:
            offset = stem.offset
            kept, rows = table.weight[:offset], table.weight[offset:]
            table.weight = _like(table.weight, torch.cat([kept, _drawn_out(rows, max_len)]))
            table.num_embeddings = max_len + offset
    set_config(model, dataclasses.replace(model.config, max_len=max_len))
    return model


def reinitialise(model: Model, patterns: Sequence[str], seed: int = 1) -> tuple[str, ...]:
    """Draw the parameters that match a pattern anew, in place; return their names."""
    names = [name for name, _ in model.named_parameters()]
    found: dict[str, None] = {}
    for pattern in patterns:
        matched = [name for name in names if fnmatchcase(name, pattern)]
        if not matched:
            hint = nearest(pattern, {f"{n.rpartition('.')[0]}.*" for n in names})
            tied = model.config.head.kind == "tokens" and model.config.head.tied
            is_tied = tied and fnmatchcase("head.weight", pattern)
            raise ConfigError(
                f"reinit: {pattern!r} matches no parameter",
                fix="the head shares its matrix with the embedding: stem.tokens.weight" if is_tied else hint,
            )
        found |= dict.fromkeys(matched)
    initialise(model, seed, only=frozenset(found))
    return tuple(found)


def set_config(model: Model, config: ModelConfig) -> None:
    """Give a model another config, and each part that reads its own."""
    model.config = config
    if isinstance(model.trunk, Transformer) and isinstance(config.trunk, TransformerConfig):
        model.trunk.config = config.trunk
    if model.encoder is not None and config.encoder is not None:
        model.encoder.trunk.config = config.encoder


@torch.no_grad()
def _draw_rows(model: Model, first: int, seed: int) -> None:
    tables = {n: p for n, p in model.named_parameters() if n in ("stem.tokens.weight", *SCORES)}
    kept = {name: table[:first].clone() for name, table in tables.items()}
    initialise(model, seed, only=frozenset(tables))
    for name, table in tables.items():
        table[:first] = kept[name]


def _drawn_out(rows: Tensor, n: int) -> Tensor:
    """Return the rows at n even steps through the old ones (old, C) -> (n, C); the first n if n is less."""
    old = len(rows)
    if n <= old:
        return rows[:n]
    place = torch.arange(n, device=rows.device) * old  # in n-ths of a row: whole numbers stay exact
    below = place // n
    share = ((place % n).to(rows.dtype) / n)[:, None]
    low, high = rows[below], rows[(below + 1).clamp(max=old - 1)]
    return torch.where(share == 0, low, torch.lerp(low, high, share))


def _like(old: Tensor, new: Tensor) -> nn.Parameter:
    return nn.Parameter(new.contiguous(), requires_grad=old.requires_grad)
