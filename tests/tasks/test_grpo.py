"""A tiny model that learns from rewards: what it earns, what it learns from, and that it goes on exactly."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from luban.errors import ConfigError, DataError
from luban.files import read_jsonl, write_jsonl
from luban.models.load import load_model
from luban.objectives.answers import token_log_probs
from luban.records import IGNORE
from luban.tasks.grpo import prepare
from luban.tasks.grpo_settings import GrpoSettings
from luban.tasks.prepared import train_prepared
from tests.tasks.test_prefer import QUIET, tiny

SETTINGS = GrpoSettings(
    steps=12, lr=0.03, reward=("contains",), method="full", group=8, prompts_per_step=2, max_new_tokens=4,
    validation_prompts=4, evaluate_every_steps=12, save_every_steps=2, warmup_share=0.0, tokens_per_batch=512,
    trackers=(), threads=1,
)  # fmt: skip


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Path]:
    rows = [{"question": f"Say it {i}, 说。", "answer": "a"} for i in range(20)]
    write_jsonl(tmp_path / "rows.jsonl", [*rows, {"question": "no answer"}, {"answer": "no question"}])
    return {"model": tiny(tmp_path / "base"), "data": tmp_path / "rows.jsonl"}


def test_answers_come_to_earn_what_the_checker_pays_for(inputs: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    settings = dataclasses.replace(SETTINGS, steps=24, prompts_per_step=4, evaluate_every_steps=24)
    facts = train_prepared(prepare(settings, inputs, out, QUIET), out, QUIET)
    assert facts["first"]["reward"] <= 0.25
    assert facts["best"]["reward"] == 1.0
    files = sorted((out / "rollouts").iterdir())
    means = [sum(row["reward"] for row in read_jsonl(file)) / 32 for file in files]
    assert len(means) == 24
    assert sum(means[-3:]) > sum(means[:3]) + 1.5
    reasons = [row["reason"] for row in read_jsonl(out / "rejects.jsonl")]
    assert len(reasons) == 2
    assert any("no answer to compare with" in reason for reason in reasons)
    assert any("the row has no question" in reason for reason in reasons)


def test_a_step_learns_from_what_its_own_weights_wrote(inputs: dict[str, Path], tmp_path: Path) -> None:
    settings = dataclasses.replace(SETTINGS, kl=0.1, updates_per_rollout=2, variant="dr_grpo")
    run = prepare(settings, inputs, tmp_path, QUIET).run
    model: Any = run.model
    first = run.batches.at(1)
    base = load_model(inputs["model"])
    for batch in first:
        assert batch.before is not None
        assert batch.reference is not None
        torch.testing.assert_close(batch.before, token_log_probs(base, batch).detach())
    with torch.no_grad():
        model.trunk.norm.weight.mul_(1.5)
    for again, batch in zip(run.batches.at(2), first, strict=True):  # the same answers, other weights
        assert torch.equal(again.tokens, batch.tokens)
    moved = run.batches.at(3)
    for batch in moved:
        assert batch.before is not None
        assert batch.reference is not None
        torch.testing.assert_close(batch.before, token_log_probs(model, batch).detach())
        torch.testing.assert_close(batch.reference, token_log_probs(base, batch).detach())
        assert not torch.allclose(batch.before, batch.reference)
    assert torch.equal(
        model.trunk.norm.weight, 1.5 * base.trunk.norm.weight
    )  # the start weights are away again
    rows = list(read_jsonl(tmp_path / "rollouts" / "0000001.jsonl"))
    for start in range(0, 16, 8):
        assert sum(row["advantage"] for row in rows[start : start + 8]) == pytest.approx(0.0, abs=1e-6)
        assert len({tuple(row["ids"]) for row in rows[start : start + 8]}) > 1  # answers of a group differ
    said = sum(int((batch.targets != IGNORE).sum()) for batch in first)
    assert said == sum(len(row["ids"]) - row["n_asked"] for row in rows)


def test_a_run_that_goes_on_amid_a_rollout_ends_in_the_same_weights(
    inputs: dict[str, Path], tmp_path: Path
) -> None:
    settings = dataclasses.replace(SETTINGS, steps=5, updates_per_rollout=3, kl=0.05)
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    train_prepared(prepare(settings, inputs, whole, QUIET), whole, QUIET)

    class Stop(Exception):
        pass

    prepared = prepare(settings, inputs, halves, QUIET)
    at = prepared.run.batches.at

    def stopping(step: int) -> Any:
        if step == 3:  # the checkpoint of step 2 is amid the rollout of step 1
            raise Stop
        return at(step)

    prepared.run.batches.at = stopping  # type: ignore[method-assign]
    with pytest.raises(Stop):
        train_prepared(prepared, halves, QUIET)
    train_prepared(prepare(settings, inputs, halves, QUIET), halves, QUIET)
    for one, other in zip(load_model(whole).parameters(), load_model(halves).parameters(), strict=True):
        assert torch.equal(one, other)


def test_what_cannot_be_rewarded_is_refused(inputs: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="2 rewards have 1 reward_weights"):
        dataclasses.replace(SETTINGS, reward=("exact", "contains"), reward_weights=(1.0,))
    for settings, what in (
        (dataclasses.replace(SETTINGS, reward=("number",)), "holds no number"),
        (dataclasses.replace(SETTINGS, prompt="{problem}"), "has no problem"),
    ):
        with pytest.raises(DataError, match=what):
            prepare(settings, inputs, tmp_path, QUIET)
