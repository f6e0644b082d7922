"""Fused kernels for the small operators of a model that trains on a CPU. Put on from outside, by method.

Theirs and PyTorch's results differ in the last bits, so a run decides once; each checkpoint holds the
decision. Compiled blocks keep PyTorch's operators, which the compiler fuses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from luban.device import is_on_host
from luban.errors import ConfigError
from luban.native import tensors as native
from luban.train.precision import Precision
from luban.train.ranks import ALONE, Ranks

Operator = Callable[..., Tensor]


@dataclass(frozen=True, slots=True)
class Choice:
    """An operator that goes through a kernel wherever the kernel takes its inputs."""

    kernel: Operator
    plain: Operator

    def __call__(self, *inputs: Any) -> Tensor:
        """Do what `plain` does."""
        tensors = (t for i in inputs for t in (i if isinstance(i, tuple) else (i,)) if isinstance(t, Tensor))
        return self.kernel(*inputs) if native.suits(*tensors) else self.plain(*inputs)


def use_kernels(
    model: nn.Module, precision: Precision, before: bool | None = None, ranks: Ranks = ALONE
) -> bool:
    """Put kernels on, if this model, device and precision have any, in all processes or in none.

    `before` is what the same run once decided: if the kernels cannot be had now, it cannot go on.
    """
    if before is False or precision.dtype is not torch.float32 or not _is_on_host(model):
        return False
    if not any(True for _ in _operators(model)):
        return False
    if ranks.any(not native.is_available()):
        if before:
            raise ConfigError(
                "this run began with native kernels, which cannot be had here: PyTorch's results differ",
                fix="leave LUBAN_NATIVE unset and install a C++ compiler, or begin anew with another --out",
            )
        return False
    leave_kernels(model)  # one that broke off may have left them
    for module, name, kernel in list(_operators(model)):
        setattr(module, name, Choice(kernel, getattr(module, name)))
    return True


def leave_kernels(model: nn.Module) -> None:
    """Undo `use_kernels`."""
    for module in model.modules():
        for name, choice in [(n, v) for n, v in vars(module).items() if isinstance(v, Choice)]:
            delattr(module, name)
            if not hasattr(module, name):  # it was no method of the class
                setattr(module, name, choice.plain)


def _operators(model: nn.Module) -> Iterator[tuple[nn.Module, str, Operator]]:
    """Yield the module, the name there, and the kernel of every operator that has one."""
    for module in model.modules():
        activation = getattr(module, "activation", None)
        if _is_gelu_tanh(activation):
            yield module, "activation", native.gelu_tanh
        if activation is F.silu and getattr(module, "gate", None) is not None:
            yield module, "gated", native.silu_times
        if getattr(module, "is_turned", False):
            yield module, "rotate", native.rotate


def _is_on_host(model: nn.Module) -> bool:
    return all(is_on_host(p) for p in model.parameters())


def _is_gelu_tanh(activation: Any) -> bool:
    return (
        isinstance(activation, partial)
        and activation.func is F.gelu
        and activation.keywords == {"approximate": "tanh"}
    )
