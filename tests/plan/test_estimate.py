from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from luban.config import Tree, resolved
from luban.files import Manifest
from luban.plan import estimate
from luban.plan.estimate import estimate_all, estimate_seconds
from luban.recipe import build_recipe
from luban.runner import Plan, plan_recipe

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(autouse=True)
def fixed_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "matmul_rate", lambda: 1e10)


def plans(folder: Path, n_bytes: int = 1000, **training: object) -> list[Plan]:
    """A recipe that cleans one text file and trains on it."""
    (folder / "raw.txt").write_text("x" * n_bytes)
    stages = {
        "clean": {"use": "clean", "from": {"raw": str(folder / "raw.txt")}},
        "train": {"use": "pretrain", "from": {"shards": "clean"}, **training},
    }
    return plan_recipe(build_recipe("r", folder / "out", Tree(stages)))


def manifest(plan: Plan, seconds: float, **settings: object) -> Manifest:
    return Manifest(plan.task.stage.name, "n", "old key", {**settings}, {}, {}, {}, seconds, "2026-01-01")


def test_more_steps_take_longer(tmp_path: Path) -> None:
    seconds = [estimate_seconds(plans(tmp_path, steps=n)[1]) for n in (10, 100, 1000)]
    assert seconds == sorted(set(seconds))
    assert seconds[2] - seconds[1] == pytest.approx(10 * (seconds[1] - seconds[0]))


def test_a_wider_model_and_more_micro_batches_take_longer(tmp_path: Path) -> None:
    narrow, wide = ({"family": "gpt2", "dim": d, "n_layers": 2, "n_heads": 2} for d in (64, 128))
    first = estimate_seconds(plans(tmp_path, model=narrow)[1])
    assert estimate_seconds(plans(tmp_path, model=wide)[1]) > first
    assert estimate_seconds(plans(tmp_path, model=narrow, n_micro_batches=4)[1]) > first


def test_a_reused_stage_takes_nothing(tmp_path: Path) -> None:
    clean, train = plans(tmp_path)
    assert estimate_seconds(replace(clean, status="reused")) == 0
    assert estimate_seconds(replace(train, status="reused")) == 0


def test_what_the_stage_took_before_counts_scaled_by_steps(tmp_path: Path) -> None:
    train = plans(tmp_path, steps=300)[1]
    settings = {**resolved(train.task.settings), "steps": 100}
    assert estimate_seconds(replace(train, earlier=manifest(train, 20.0, **settings))) == pytest.approx(60.0)
    clean = plans(tmp_path)[0]
    assert estimate_seconds(replace(clean, earlier=manifest(clean, 7.0))) == 7.0
    assert estimate_seconds(replace(clean, earlier=manifest(train, 7.0))) != 7.0


def test_more_text_takes_longer_through_stages_that_have_not_run(tmp_path: Path) -> None:
    stages = {
        "clean": {"use": "clean", "from": {"raw": str(tmp_path / "raw.txt")}},
        "dedup": {"use": "dedup", "from": {"documents": "clean"}},
    }
    seconds = []
    for n_bytes in (10_000, 1_000_000):
        (tmp_path / "raw.txt").write_text("x" * n_bytes)
        seconds.append(estimate_all(plan_recipe(build_recipe("r", tmp_path / "out", Tree(stages)))))
    assert seconds[1][0] > seconds[0][0]
    assert seconds[1][1] > seconds[0][1]


def test_an_estimate_imports_no_torch() -> None:
    code = "import sys, luban.plan.estimate as e; e.matmul_rate(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
