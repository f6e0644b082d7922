"""Every optimizer goes on from a checkpoint as if nothing had happened."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from luban.optim.build import RULES, build_optimizer
from luban.optim.schedules import lr_at
from luban.train import checkpoint
from luban.train.settings import TrainSettings


class Toy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Embedding(5, 4)
        self.trunk = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))
        self.head = nn.Linear(4, 5)

    def descend(self, optimizer: torch.optim.Optimizer) -> None:
        self.head(self.trunk(self.stem(torch.arange(5)))).pow(2).sum().backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("name", RULES)
def test_a_step_after_loading_equals_the_step_without(name: str, tmp_path: Path) -> None:
    settings = TrainSettings(optimizer=name)  # type: ignore[arg-type]
    first, second = Toy(), Toy()
    kept, loaded = build_optimizer(first, settings), build_optimizer(second, settings)
    first.descend(kept)
    files = {
        checkpoint.MODEL: checkpoint.model_tensors(first),
        checkpoint.OPTIMIZER: checkpoint.optimizer_tensors(first, kept),
    }
    checkpoint.save_checkpoint(tmp_path / "step-0000001", files, {})
    checkpoint.load_weights(tmp_path / "step-0000001", second)
    checkpoint.load_optimizer(tmp_path / "step-0000001", second, loaded)
    first.descend(kept)
    second.descend(loaded)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_one_cycle_equals_torch() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 1.0, total_steps=20, pct_start=0.1, final_div_factor=0.4
    )
    at = lr_at(TrainSettings(steps=20, lr=1.0, schedule="one_cycle"))
    for step in range(1, 21):
        assert at(step) == pytest.approx(theirs.get_last_lr()[0])
        optimizer.step()
        if step < 20:
            theirs.step()
