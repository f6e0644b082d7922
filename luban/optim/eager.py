"""torch's optimizers without their guards against the compiler, which cost a second at every start."""

from __future__ import annotations

import inspect
from typing import TypeVar

import torch

Rule = TypeVar("Rule", bound=torch.optim.Optimizer)
GUARDED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")


def eager(rule: type[Rule]) -> type[Rule]:
    """Return a rule whose methods are the bare ones.

    torch wraps them so that they stay out of compiled code, and imports its compiler for that. No
    optimizer is compiled here: blocks of the model are, and import it when they are.
    """
    bare = {name: inspect.unwrap(getattr(rule, name)) for name in GUARDED}
    step = torch.no_grad()(inspect.unwrap(rule.step))
    return type(rule.__name__, (rule,), {**bare, "step": step})
