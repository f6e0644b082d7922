"""A run of several processes, stopped and gone on with, ends as if nothing had been."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from luban.errors import DiskError
from luban.log import Log
from luban.objectives.next_token import next_token
from luban.optim.build import build_optimizer
from luban.records import Batch
from luban.train import shared_saving
from luban.train.checkpoint import optimizer_tensors
from luban.train.joining import joined
from luban.train.parallel import distribute, group_by_kind
from luban.train.precision import Precision, choose_precision
from luban.train.ranks import ALONE
from luban.train.run import CHECKPOINTS, Run, run_training
from luban.train.settings import ParallelSettings, TrainSettings
from luban.train.sharded import SHARDS
from luban.train.shared_saving import ShardSaver, choose_saver
from tests.train.crew import Crew
from tests.train.test_parallel import Rows, build

SETTINGS = TrainSettings(
    steps=5, lr=0.01, warmup_share=0, device="cpu", threads=1, ema_decay=0.5, seed=4,
    evaluate_every_steps=2, save_every_steps=2, log_every_steps=100, trackers=(),
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Failing(Rows):
    """Breaks at a step, in every process."""

    fail_at: int = 0

    def at(self, step: int) -> list[Batch]:
        if step == self.fail_at:
            raise RuntimeError("the data broke")
        return super().at(step)


def run(out: Path, parallel: dict[str, int], fail_at: int, dropout: float = 0.1) -> Any:
    """Train; return the facts, the weights, and the checkpoints in this process's own folder."""
    settings = dataclasses.replace(SETTINGS, parallel=ParallelSettings(**parallel))
    model = build("llama", n_kv_heads=2, dropout=dropout)
    rows = Failing("llama", 2, fail_at)

    def evaluate() -> dict[str, float]:
        loss = next_token(model, rows.batch(99, 0))
        return {"loss": loss.total.item() / int(loss.n_targets)}

    def samples(step: int) -> list[dict[str, Any]]:
        logits = model(rows.batch(98, 0).tokens)  # with every weight there is to be read
        return [{"seen": logits.argmax().item(), "weight": model.trunk.blocks[0].mlp.up.weight[0, 0].item()}]

    facts = None
    with joined(settings) as ranks:
        own = out if ranks.is_first else out / f"rank-{ranks.rank}"
        own.mkdir(exist_ok=True, parents=True)
        made = Run(
            model=model, batches=rows, objective=next_token, settings=settings, evaluate=evaluate,
            on_evaluate=None if parallel.get("tensor") else samples,
        )  # fmt: skip
        with pytest.raises(RuntimeError, match="the data broke") if fail_at else contextlib.nullcontext():
            facts = run_training(made, own, Log(quiet=True), ranks)
    files = sorted(p.name for p in own.glob(f"{CHECKPOINTS}/*"))
    return facts, {k: t.detach().clone() for k, t in model.state_dict().items()}, files


def assert_equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    for name in one:
        assert torch.equal(one[name], other[name]), name


def test_processes_without_a_common_disk_go_on_where_the_first_one_saved(crew: Crew, tmp_path: Path) -> None:
    [(facts, whole, _), (_, others, files)] = crew.run(2, run, tmp_path / "a", {}, 0)
    assert_equal(whole, others)
    assert files == []
    crew.run(2, run, tmp_path / "b", {}, 5)
    assert [p.name for p in sorted((tmp_path / "b" / CHECKPOINTS).glob("step*"))] == [
        "step-0000002",
        "step-0000004",
    ]
    for again, weights, _ in crew.run(2, run, tmp_path / "b", {}, 0):
        assert_equal(whole, weights)
        assert again["best"] == facts["best"]
    rows = [json.loads(line) for line in (tmp_path / "b" / "metrics.jsonl").open()]
    assert [row["step"] for row in rows if "loss" in row] == [1, 2, 3, 4, 5]


def test_a_disk_that_does_not_let_go_of_old_parts_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(root: Path, keep_last: int) -> None:
        raise DiskError("the disk failed", fix="look at it")

    monkeypatch.setattr(shared_saving, "prune_checkpoints", refuse)
    monkeypatch.setattr(ShardSaver, "_write", lambda *arguments: "")
    model = torch.nn.Linear(1, 1)
    saver = ShardSaver(
        model, torch.optim.SGD(model.parameters()), None, Precision(torch.device("cpu"), torch.float32),
        tmp_path, Log(quiet=True), ALONE,
    )  # fmt: skip
    warning = saver._keep_step({}, {"step": 3, "best": {"step": 3}})
    assert warning == "older checkpoints not removed: the disk failed; training goes on"
    assert saver.saved_step == 3


@pytest.mark.parametrize(
    ("n", "parallel"),
    [(2, {"shard": 0}), pytest.param(4, {"shard": 2, "tensor": 2}, marks=pytest.mark.slow)],
)
def test_parts_are_saved_and_gone_on_with_bit_for_bit(
    crew: Crew, tmp_path: Path, n: int, parallel: dict[str, int]
) -> None:
    [(facts, whole, _), *_] = crew.run(n, run, tmp_path / "a", parallel, 0)
    crew.run(n, run, tmp_path / "b", parallel, 5)
    checkpoint = tmp_path / "b" / CHECKPOINTS / "step-0000004"
    assert len([*(checkpoint / SHARDS).glob("*.distcp")]) == n
    for again, weights, _ in crew.run(n, run, tmp_path / "b", parallel, 0):
        assert_equal(whole, weights)
        assert again["best"] == facts["best"]


def test_a_run_goes_on_in_another_number_of_processes(crew: Crew, tmp_path: Path) -> None:
    parallel = {"shard": 0}
    alone, whole, _ = run(tmp_path / "a", parallel, 0, 0.0)
    crew.run(4, run, tmp_path / "b", parallel, 3, 0.0)
    crew.run(2, run, tmp_path / "b", parallel, 5, 0.0)  # 4 → 2
    facts, weights, _ = run(tmp_path / "b", parallel, 0, 0.0)  # 2 → 1
    assert facts["best"]["loss"] == pytest.approx(alone["best"]["loss"], rel=1e-5)
    run(tmp_path / "c", parallel, 3, 0.0)
    [(facts, others, _), *_] = crew.run(2, run, tmp_path / "c", parallel, 0, 0.0)  # 1 → 2
    assert facts["best"]["loss"] == pytest.approx(alone["best"]["loss"], rel=1e-5)
    for name in whole:
        torch.testing.assert_close(weights[name], whole[name], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(others[name], whole[name], rtol=1e-4, atol=1e-4)


def resumed(out: Path, optimizer: Literal["adam", "adamw"]) -> tuple[int, float]:
    """Resume; return the step reached, and the sum of all that the optimizer remembers."""
    parallel = ParallelSettings(shard=0)
    settings = dataclasses.replace(SETTINGS, parallel=parallel, optimizer=optimizer, on_change="continue")
    model = build("llama", n_kv_heads=2, dropout=0.1)
    with joined(settings) as ranks:
        gather = distribute(model, ranks, settings)
        rule = build_optimizer(model, settings)
        group_by_kind(rule)
        kept = (model, rule, None, choose_precision(settings.precision, torch.device("cpu")))
        with choose_saver(ranks, *kept, out / CHECKPOINTS, Log(quiet=True)) as saver:
            state = saver.resume(settings)
        remembered = sum(float(t.abs().sum()) for t in optimizer_tensors(model, rule).values())
        gather()
    return state.step, remembered


@pytest.mark.parametrize(("optimizer", "is_kept"), [("adamw", True), ("adam", False)])
def test_another_optimizer_takes_over_nothing_from_the_parts_of_the_one_before(
    crew: Crew, tmp_path: Path, optimizer: str, is_kept: bool
) -> None:
    crew.run(2, run, tmp_path, {"shard": 0}, 5)
    for step, remembered in crew.run(2, resumed, tmp_path, optimizer):
        assert step == 4
        assert (remembered > 0) is is_kept
