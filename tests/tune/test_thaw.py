"""Gradual unfreezing: what rests does not change by a bit, and a run that goes on thaws as one never stopped."""

from pathlib import Path
from typing import Any

import pytest
import torch

from luban.errors import ConfigError, Interrupted
from luban.log import Log
from luban.objectives.next_token import next_token
from luban.optim.build import build_optimizer
from luban.records import Batch
from luban.train.engine import Course, train
from luban.train.run import Run, run_training
from luban.train.settings import TrainSettings
from luban.tune.freeze import freeze_layers, thaw_from_above

EVERY = 2


class Batches:
    """The same row again and again."""

    steps_per_epoch = 1

    def __init__(self) -> None:
        self.row = torch.randint(60, (2, 9), generator=torch.Generator().manual_seed(5))

    def at(self, step: int) -> list[Batch]:
        return [Batch(tokens=self.row, documents=torch.ones_like(self.row), targets=self.row.roll(-1, 1))]


def test_each_block_rests_to_the_bit_until_its_step(tiny: Any) -> None:
    model = tiny("llama", n_layers=3)
    first_step = thaw_from_above(model, EVERY)
    settings = TrainSettings(steps=10, lr=1e-2, weight_decay=0.5)
    course = Course(
        model=model,
        batches=Batches(),
        objective=next_token,
        optimizer=build_optimizer(model, settings, None, first_step),
        lr_at=lambda step: settings.lr,
        settings=settings,
    )
    first = {name: p.detach().clone() for name, p in model.named_parameters()}
    changed: dict[str, int] = {}
    for step in train(course):
        for name, p in model.named_parameters():
            if name not in changed and not torch.equal(p, first[name]):
                changed[name] = step.number
    assert changed == {name: first_step(name) for name in first}
    assert {first_step(f"trunk.blocks.{i}.x") for i in range(3)} == {7, 5, 3}
    assert (first_step("head.x"), first_step("trunk.norm.weight"), first_step("stem.x")) == (1, 1, 9)


def test_a_run_that_goes_on_thaws_as_one_never_stopped(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(out: Path, stop_at: int = 0) -> dict[str, torch.Tensor]:
        model = tiny("llama")
        settings = TrainSettings(
            steps=8,
            lr=1e-2,
            save_every_steps=3,
            evaluate_every_steps=8,
            device="cpu",
            compile="off",
            trackers=(),
        )

        def evaluate() -> dict[str, float]:
            return {"loss": float(next_token(model, Batches().at(1)[0]).total)}

        def objective(m: Any, batch: Batch) -> Any:
            asked.append(1)
            if stop_at and len(asked) > stop_at:
                raise Interrupted("stopped", fix="go on")
            return next_token(m, batch)

        asked: list[int] = []
        what = Run(
            model=model, batches=Batches(), objective=objective, settings=settings, evaluate=evaluate,
            first_step=thaw_from_above(model, EVERY),
        )  # fmt: skip
        run_training(what, out, Log(quiet=True))
        return {name: p.detach().clone() for name, p in model.named_parameters()}

    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    whole = run(tmp_path / "whole")
    with pytest.raises(Interrupted):
        run(tmp_path / "parts", stop_at=4)
    parts = run(tmp_path / "parts")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_freezing_by_depth_takes_the_embeddings_along(tiny: Any) -> None:
    model = tiny("llama", n_layers=3)
    freeze_layers(model, 2)
    frozen = {
        n.split(".")[2] if "blocks" in n else n for n, p in model.named_parameters() if not p.requires_grad
    }
    assert {"0", "1"} <= frozen
    assert "2" not in frozen
    assert not model.stem.tokens.weight.requires_grad
    assert freeze_layers(tiny("llama"), 0) == 0
    with pytest.raises(ConfigError, match="freeze_layers = 9, but the model has 3 blocks"):
        freeze_layers(model, 9)
