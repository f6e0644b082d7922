"""Hold fewer activations: compute some again in the backward pass. Put on from outside, by module name.

Source: arXiv:1604.06174; which to keep, arXiv:2205.05198, section 5.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Literal

import torch
from torch import nn
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

Mode = Literal["none", "selective", "all"]
KEPT = frozenset(
    f"aten::{name}"
    for name in (
        "mm",
        "addmm",
        "bmm",
        "baddbmm",
        "_scaled_dot_product_flash_attention",
        "_scaled_dot_product_flash_attention_for_cpu",
        "_scaled_dot_product_efficient_attention",
        "_scaled_dot_product_cudnn_attention",
        "_scaled_dot_product_attention_math_for_mps",
        "_scaled_dot_product_fused_attention_overrideable",
    )
)
"""Operators whose results "selective" keeps: they cost most of a block's time."""


def recompute_blocks(model: nn.Module, mode: Mode) -> None:
    """Let every block keep only its input ("all"), or its matrix products too ("selective").

    Names of parameters stay, and so do gradients, bit for bit: dropout is drawn again from the same state
    of the generator. "none" takes away what was put on. With other changes: matrices spread by name
    first, then this, then compiling, then sharding.
    """
    for block in blocks(model):
        vars(block).pop("forward", None)
        if mode != "none":
            block.forward = partial(_sparing, block.forward, mode)


def blocks(model: nn.Module) -> Iterator[nn.Module]:
    """Yield the equal layers of a model, but for recurrent ones, which are read past their forward method."""
    for name, module in model.named_modules():
        if name.rpartition(".")[0].endswith("blocks") and not isinstance(module, nn.RNNBase):
            yield module


def _sparing(forward: Any, mode: Mode, *inputs: Any) -> Any:
    if not torch.is_grad_enabled():  # nothing is kept anyway
        return forward(*inputs)
    if mode == "all":
        return checkpoint(forward, *inputs, use_reentrant=False)
    return checkpoint(forward, *inputs, use_reentrant=False, context_fn=_contexts)


def _contexts() -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
    made: Any = create_selective_checkpoint_contexts(_policy)  # type: ignore[no-untyped-call]
    return made[0], made[1]


def _policy(context: Any, operator: Any, *inputs: Any, **named: Any) -> CheckpointPolicy:
    """Keep costly results, but for two kinds.

    What drops out would, left out the second time, shift all draws that follow. What a function with a
    gradient of its own computes (there, gradients are off) it may change in place.
    """
    is_kept = operator.name().partition(".")[0] in KEPT and torch.is_grad_enabled()
    if not is_kept or _drops(operator, inputs, named):
        return CheckpointPolicy.PREFER_RECOMPUTE
    return CheckpointPolicy.MUST_SAVE


def _drops(operator: Any, inputs: tuple[Any, ...], named: dict[str, Any]) -> bool:
    names = (argument.name for argument in operator._schema.arguments)
    return bool((dict(zip(names, inputs, strict=False)) | named).get("dropout_p", 0.0))
