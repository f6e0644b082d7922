"""Which parameters learn, and how fast: freezing by name, and smaller steps for deeper layers."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase

from torch import nn

from luban.config import nearest
from luban.errors import ConfigError

_BLOCK = re.compile(r"^trunk\.blocks\.(\d+)\.")


def freeze(model: nn.Module, patterns: Sequence[str]) -> int:
    """Stop every parameter whose name matches a pattern from learning; return how many numbers that is.

    freeze(model, ["stem.*", "trunk.blocks.0.*"])
    """
    names = [name for name, _ in model.named_parameters()]
    frozen: set[str] = set()
    for pattern in patterns:
        matched = {name for name in names if fnmatchcase(name, pattern)}
        if not matched:
            raise ConfigError(f"freeze: {pattern!r} matches no parameter", fix=_near(pattern, names))
        frozen |= matched
    if frozen == set(names):
        raise ConfigError(
            f"freeze = {list(patterns)} leaves nothing to train",
            fix="leave the head out, such as with 'trunk.*'",
        )
    total = 0
    for name, parameter in model.named_parameters():
        if name in frozen:
            parameter.requires_grad_(False)
            total += parameter.numel()
    return total


def freeze_layers(model: nn.Module, n: int) -> int:
    """Stop the embeddings and the first n blocks from learning; return how many numbers that is."""
    n_blocks = _n_blocks(model)
    if n > n_blocks:
        raise ConfigError(f"freeze_layers = {n}, but the model has {n_blocks} blocks", fix="set it lower")
    return freeze(model, ["stem.*", *(f"trunk.blocks.{i}.*" for i in range(n))]) if n else 0


def thaw_from_above(model: nn.Module, every_steps: int) -> Callable[[str], int]:
    """Return parameter name → the step from which it learns: the head from the first, then a block more
    every so many steps, from the top down, and the stem last.

    It depends on nothing but the name, so a run that goes on thaws as one never stopped.
    Source: gradual unfreezing, arXiv:1801.06146, section 3.3.
    """
    n_blocks = _n_blocks(model)

    def first_step(name: str) -> int:
        if name.startswith("stem."):
            return 1 + every_steps * (n_blocks + 1)
        block = _BLOCK.match(name)
        return 1 + every_steps * (n_blocks - int(block.group(1))) if block else 1

    return first_step


def _n_blocks(model: nn.Module) -> int:
    found = (_BLOCK.match(name) for name, _ in model.named_parameters())
    return 1 + max((int(m.group(1)) for m in found if m), default=-1)


def lr_scale(
    model: nn.Module, head_lr_scale: float = 1.0, layer_lr_decay: float = 1.0
) -> Callable[[str], float]:
    """Return the function from a parameter's name to its multiple of the learning rate.

    The head gets `head_lr_scale`; the top block 1, each block below `layer_lr_decay` times the one
    above it, and the stem below them all.
    """
    n_blocks = _n_blocks(model)

    def scale(name: str) -> float:
        if name.startswith("head."):
            return head_lr_scale
        if name.startswith("stem."):
            return layer_lr_decay**n_blocks
        block = _BLOCK.match(name)
        return layer_lr_decay ** (n_blocks - 1 - int(block.group(1))) if block else 1.0

    return scale


def _near(pattern: str, names: Sequence[str]) -> str:
    parts = sorted(
        {f"{name.rpartition('.')[0]}.*" for name in names} | {f"{n.split('.')[0]}.*" for n in names}
    )
    literal = pattern if pattern.endswith("*") else f"{pattern}.*"
    if any(fnmatchcase(name, literal) for name in names):
        return f"did you mean {literal!r}?"
    hint = nearest(pattern, parts)
    return hint if hint.startswith("did you mean") else f"use names such as {', '.join(parts[:8])}"
