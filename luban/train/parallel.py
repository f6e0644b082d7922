"""Spread a model over the processes of a job, from outside; afterwards, put it together again."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from luban.errors import ConfigError
from luban.train.plans import styles, tensor_plan
from luban.train.ranks import OF_SOME_HEADS, Ranks
from luban.train.settings import TrainSettings

METHOD = "hidden"
"""What objectives call on a model beside the model itself; they take the head's matrix afterwards, so
weights that lie in no block stay gathered from there to the end of the backward pass."""


def distribute(model: nn.Module, ranks: Ranks, settings: TrainSettings) -> Callable[[], None]:
    """Give every process the first one's weights, and then only its part of them.

    Call it when the model is on its device, before the optimizer is made. Gradients become sums over
    processes (see `Ranks.reduce`). Returns the function that makes the model whole again, in every
    process at the same time; what was built from the spread parameters is then of no use.
    """
    if ranks.mesh is None:
        return _nothing
    send_out(_tensors(model), ranks)
    n_shards, n_tensor = ranks.mesh["shard"].size(), ranks.mesh["tensor"].size()
    if n_shards == n_tensor == 1:
        return _nothing
    refuse_what_needs_whole_matrices(settings)
    before = _remember(model)
    plan = tensor_plan(model, n_tensor) if n_tensor > 1 else {}
    if plan:
        from torch.distributed.tensor.parallel import parallelize_module

        parallelize_module(model, ranks.mesh["tensor"], styles(plan))
    if n_shards > 1:
        _shard(model, ranks)
    for name in (name for name, way in plan.items() if way == "heads"):
        for p in model.get_submodule(name).parameters():
            setattr(p, OF_SOME_HEADS, True)
    return lambda: _gather(model, before)


def refuse_what_needs_whole_matrices(settings: TrainSettings) -> None:
    """Refuse what needs whole matrices, where a process has only a part of them."""
    if settings.optimizer in ("muon", "adafactor"):
        raise ConfigError(
            f"optimizer = {settings.optimizer} needs whole matrices, and each process has a part",
            fix="use adamw, or set parallel.shard and parallel.tensor to 1",
        )
    if settings.grad_noise:
        raise ConfigError(
            f"grad_noise = {settings.grad_noise:g} is drawn for whole gradients, and each process has a part",
            fix="set grad_noise to 0, or parallel.shard and parallel.tensor to 1",
        )


@torch.no_grad()
def send_out(tensors: Sequence[Tensor], ranks: Ranks) -> None:
    """Overwrite plain tensors, alike in all processes, with the first process's values."""
    if ranks.mesh is None:
        return
    import torch.distributed as dist

    for tensor in tensors:
        whole = tensor.detach().contiguous()
        dist.broadcast(whole, src=0)
        tensor.copy_(whole)


def group_by_kind(optimizer: torch.optim.Optimizer) -> None:
    """Split the optimizer's groups, so that none mixes tensors that are spread in different ways.

    The kernels that update many tensors at once refuse a mixture.
    """
    groups: list[dict[str, Any]] = []
    for group in optimizer.param_groups:
        kinds: dict[object, list[nn.Parameter]] = {}
        for p in group["params"]:
            kinds.setdefault(getattr(p, "device_mesh", None), []).append(p)
        groups += [group | {"params": parameters} for parameters in kinds.values()]
    optimizer.param_groups[:] = groups


def is_spread(model: nn.Module) -> bool:
    """Whether any parameter is spread over processes."""
    return any(hasattr(p, "device_mesh") for p in model.parameters())


@contextlib.contextmanager
def gathered(model: nn.Module) -> Iterator[None]:
    """Have the sharded weights whole in every process for a while, for what reads them as it likes."""
    sharded: list[Any] = [m for m in model.modules() if hasattr(m, "unshard")]
    for module in sharded:
        module.set_reshard_after_forward(False, recurse=False)
        module.unshard()
    try:
        yield
    finally:
        for module in sharded:
            module.set_reshard_after_forward(module is not model, recurse=False)
        settle(model)


def settle(model: nn.Module) -> None:
    """Put away what an evaluation has gathered, so that parameters are the sharded ones again."""
    for module in model.modules():
        if hasattr(module, "reshard"):
            module.reshard()  # type: ignore[operator]


def whole(tensor: Tensor) -> Tensor:
    """Return all of a tensor that may be spread over processes; all of them must ask."""
    spread: Any = tensor.detach()
    return spread.full_tensor() if hasattr(spread, "full_tensor") else spread


def _nothing() -> None:
    """A model that was not spread is whole."""


def _tensors(model: nn.Module) -> list[Tensor]:
    return [*model.parameters(), *model.buffers()]


def _shard(model: nn.Module, ranks: Ranks) -> None:
    """Shard block by block: only one block's weights are whole at a time.

    A recurrent layer's weights are read past its forward method, so they go with the rest.
    """
    from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method

    assert ranks.mesh is not None
    mesh = ranks.mesh["shard"] if ranks.mesh["replicate"].size() == 1 else ranks.mesh["replicate", "shard"]
    for name, module in list(model.named_modules()):
        if name.rpartition(".")[0].endswith("blocks") and not isinstance(module, nn.RNNBase):
            fully_shard(module, mesh=mesh)
    fully_shard(model, mesh=mesh)
    assert isinstance(model, FSDPModule)
    if hasattr(model, METHOD):
        register_fsdp_forward_method(model, METHOD)
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.set_gradient_divide_factor(1.0)  # sums, not means: the loop divides by all targets
            module.set_force_sum_reduction_for_comms(True)
    # A share of the batch may leave a layer out; the others must not wait for its gradient.
    model.set_reduce_scatter_unused_params(True)


@dataclass(frozen=True, slots=True)
class _Before:
    """A module as it was: its class, its hooks and its own attributes."""

    kind: type[nn.Module]
    hooks: dict[str, dict[Any, Any]]
    attributes: frozenset[str]


HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_pre_hooks_with_kwargs",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)


def _remember(model: nn.Module) -> dict[nn.Module, _Before]:
    return {
        module: _Before(
            type(module), {name: dict(getattr(module, name)) for name in HOOKS}, frozenset(vars(module))
        )
        for module in model.modules()
    }


@torch.no_grad()
def _gather(model: nn.Module, before: dict[nn.Module, _Before]) -> None:
    """Gather all parameters, and take away every hook and class that spreading has brought."""
    settle(model)
    made: dict[nn.Parameter, nn.Parameter] = {}
    for p in model.parameters():
        made[p] = nn.Parameter(whole(p).clone(), requires_grad=p.requires_grad)
    for module, was in before.items():
        module.__class__ = was.kind
        for name, hooks in was.hooks.items():
            kept = getattr(module, name)
            kept.clear()
            kept.update(hooks)
        for name in vars(module).keys() - was.attributes:
            delattr(module, name)
        for name, spread in module._parameters.items():
            if spread is not None:
                module._parameters[name] = made[spread]
