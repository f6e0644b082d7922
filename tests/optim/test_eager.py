"""Optimizers that leave torch's compiler out."""

from __future__ import annotations

import copy
import subprocess
import sys

import torch
from torch import nn

from luban.optim.eager import eager

PROGRAM = """
import sys, torch
from luban.optim.build import RULES, build_optimizer
from luban.train.settings import TrainSettings
for name in RULES:
    model = torch.nn.ModuleDict({"trunk": torch.nn.Linear(2, 2)})
    optimizer = build_optimizer(model, TrainSettings(optimizer=name))
    model["trunk"](torch.ones(1, 2)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    optimizer.load_state_dict(optimizer.state_dict())
    assert "torch._dynamo" not in sys.modules, name
"""


def test_no_optimizer_imports_the_compiler() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_step_equals_the_guarded_one_and_its_hooks_are_called() -> None:
    first = nn.Linear(3, 2)
    second = copy.deepcopy(first)
    called: list[str] = []
    bare = eager(torch.optim.AdamW)(first.parameters(), lr=0.1)
    bare.register_step_post_hook(lambda *_: called.append("after"))
    guarded = torch.optim.AdamW(second.parameters(), lr=0.1)
    for model, optimizer in ((first, bare), (second, guarded)):
        for _ in range(3):
            model(torch.ones(1, 3)).pow(2).sum().backward()
            optimizer.step()
            optimizer.zero_grad()
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert called == ["after"] * 3
    assert isinstance(bare, torch.optim.AdamW)


def test_a_step_records_no_gradient() -> None:
    model = nn.Linear(3, 2)
    optimizer = eager(torch.optim.SGD)(model.parameters(), lr=0.1)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    assert torch.is_grad_enabled()
    assert all(p.grad_fn is None and p.is_leaf for p in model.parameters())
