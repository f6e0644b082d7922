"""Which layers a group of processes can share, by their names: tensor parallelism from outside the model.

Source: arXiv:1909.08053, section 3: the matrices into a sublayer are split by columns, so that each
process has whole heads or whole hidden features, and the one that leaves it by rows.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from luban.errors import ConfigError

PLAN = {
    "*.attention.[qkv]": "columns",
    "*.cross.[qkv]": "columns",
    "*.attention.out": "rows",
    "*.cross.out": "rows",
    "*.mlp.up": "columns",
    "*.mlp.gate": "columns",
    "*.mlp.down": "rows",
    "*.attention.[qk]_norm": "heads",
    "*.cross.[qk]_norm": "heads",
}
"""Name of a module → how its weight is split: by columns or rows of the product; a norm inside heads is
whole, but sees only some of them, so its gradient is a sum over processes. What is not named is whole,
and computed by every process."""
BY_DISTANCE = ("relative", "alibi")
"""Positions that give each head its own bias, in one table for all heads."""


def tensor_plan(model: nn.Module, n: int) -> dict[str, str]:
    """Return the names of the modules that `n` processes share, and how; refuse what they cannot."""
    _refuse_parts(model)
    plan = {
        name: way
        for name, _ in model.named_modules()
        for pattern, way in PLAN.items()
        if fnmatchcase(name, pattern)
    }
    if not plan:
        raise _cannot(f"{type(model).__name__} has no layer that several processes know how to share")
    for name, way in plan.items():
        module = model.get_submodule(name)
        if way == "heads":
            continue
        if not isinstance(module, nn.Linear):
            raise _cannot(f"{name} is a {type(module).__name__}, not a plain linear layer")
        _check_width(name, module, model.get_submodule(name.rpartition(".")[0]), way, n)
    return plan


def styles(plan: dict[str, str]) -> dict[str, Any]:
    """Return the plan in torch's terms."""
    from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel

    made = {"columns": ColwiseParallel(), "rows": RowwiseParallel()}
    return {name: made[way] for name, way in plan.items() if way in made}


def _refuse_parts(model: nn.Module) -> None:
    for name, module in model.named_modules():
        if isinstance(module, nn.RNNBase):
            raise _cannot(f"{name} is recurrent, and each of its steps needs the whole state")
        position = getattr(getattr(module, "config", None), "position", None)
        if position in BY_DISTANCE:
            raise _cannot(f"position = {position} adds a bias for every head, and a process has only some")


def _check_width(name: str, linear: nn.Linear, parent: nn.Module, way: str, n: int) -> None:
    width = linear.out_features if way == "columns" else linear.in_features
    head_dim = getattr(parent, "head_dim", None)
    whole, what = (width, "features") if head_dim is None else (width // head_dim, "heads")
    if whole % n:
        raise ConfigError(
            f"{name} has {whole} {what}, which do not divide by parallel.tensor = {n}",
            fix="set parallel.tensor to a divisor of n_heads, n_kv_heads and ffn_dim",
        )


def _cannot(why: str) -> ConfigError:
    return ConfigError(
        f"parallel.tensor: {why}", fix="set parallel.tensor to 1; parallel.shard = 0 saves memory"
    )
