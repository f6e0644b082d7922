"""A resumed run sees, step for step, the samples of one that was never stopped."""

from __future__ import annotations

import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn
from torch.nn import functional as F

from luban.data.batches import Bucketed, PackedWindows
from luban.data.shards import TOKEN_BYTES, ShardWriter
from luban.records import Batch, Loss
from tests.train.test_run import assert_equal, weights
from tests.train.toy_run import VOCAB, Toy, be_quick, objective, run

EPOCH = 6
"""Steps."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    be_quick(monkeypatch)


class Watched:
    """Batches that fail at a step; `seen` are the samples that reached the model, by step."""

    def __init__(self, batches: Any, fail_at: int = 0):
        self.batches, self.fail_at = batches, fail_at
        self.seen: dict[int, list[int]] = defaultdict(list)
        self._step_of: dict[int, int] = {}
        self._kept: list[Batch] = []  # an id is an object's own only while it lives

    def at(self, step: int) -> list[Batch]:
        if step == self.fail_at:
            raise RuntimeError("the data broke")
        batches: list[Batch] = self.batches.at(step)
        self._kept += batches
        self._step_of |= {id(batch.ids): step for batch in batches}
        return batches

    def objective(self, model: nn.Module, batch: Batch) -> Loss:
        self.seen[self._step_of[id(batch.ids)]] += batch.ids
        if batch.targets.ndim == 2:
            return objective(model, batch)
        logits = model(batch.tokens).mean(1)
        return Loss(F.cross_entropy(logits, batch.targets, reduction="sum"), len(batch.targets))


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 windows of 6 tokens, from documents of all lengths."""
    folder, draw = tmp_path_factory.mktemp("shards"), random.Random(0)
    n_left = 24 * 6 + 1
    with ShardWriter(folder, "train", VOCAB) as writer:
        while n_left:
            size = min(draw.randrange(1, 12), n_left)
            writer.add(str(n_left), [draw.randrange(VOCAB) for _ in range(size)], size)
            n_left -= size
    np.save(folder / TOKEN_BYTES, np.ones(VOCAB))
    return folder / "train"


def packed(shard: Path, n_micro_batches: int) -> PackedWindows:
    windows = PackedWindows(
        shard, context=6, batch_size=4 // n_micro_batches, seed=3, n_micro_batches=n_micro_batches
    )
    assert windows.n_windows == 4 * EPOCH
    return windows


def bucketed(shard: Path, n_micro_batches: int) -> Bucketed:
    draw = random.Random(1)
    rows = [[draw.randrange(VOCAB) for _ in range(draw.randrange(2, 12))] for _ in range(40)]
    batches = Bucketed(
        rows, [row[0] % 3 for row in rows], tokens_per_batch=56 // n_micro_batches, seed=3,
        n_micro_batches=n_micro_batches, pad_id=0,
    )  # fmt: skip
    assert batches.steps_per_epoch == EPOCH
    return batches


@pytest.mark.parametrize("make", [packed, bucketed])
@pytest.mark.parametrize("stops", [[EPOCH], [EPOCH + 1], [3, EPOCH, EPOCH, 2 * EPOCH]])
def test_stopped_at_the_end_of_an_epoch_or_elsewhere_and_again(
    tmp_path: Path, shard: Path, make: Any, stops: list[int]
) -> None:
    plan: dict[str, Any] = {"steps": 15, "save_every_steps": 1, "evaluate_every_steps": 4}
    n_micro_batches = 2
    whole, last = Toy(), Toy()
    undisturbed = Watched(make(shard, n_micro_batches))
    run(tmp_path / "whole", whole, batches=undisturbed, objective=undisturbed.objective, **plan)
    seen: dict[int, list[int]] = {}
    for stop in stops:
        broken = Watched(make(shard, n_micro_batches), fail_at=stop + 1)
        with pytest.raises(RuntimeError, match="the data broke"):
            run(tmp_path / "stopped", batches=broken, objective=broken.objective, **plan)
        assert not seen.keys() & broken.seen.keys()  # with a save after every step, none comes twice
        seen |= broken.seen
    resumed = Watched(make(shard, n_micro_batches))
    run(tmp_path / "stopped", last, batches=resumed, objective=resumed.objective, **plan)
    assert seen | resumed.seen == undisturbed.seen
    assert list(undisturbed.seen) == list(range(1, 16))
    assert_equal(weights(whole), weights(last))


@pytest.mark.parametrize("make", [packed, bucketed])
@pytest.mark.parametrize(("before", "after"), [(1, 2), (4, 1)])
def test_resumed_with_more_or_fewer_micro_batches_of_the_same_rows(
    tmp_path: Path, shard: Path, make: Any, before: int, after: int
) -> None:
    plan: dict[str, Any] = {"steps": 15, "save_every_steps": EPOCH}
    undisturbed, broken = Watched(make(shard, before)), Watched(make(shard, before), fail_at=EPOCH + 1)
    run(tmp_path / "whole", batches=undisturbed, objective=undisturbed.objective, **plan)
    with pytest.raises(RuntimeError):
        run(tmp_path / "stopped", batches=broken, objective=broken.objective, n_micro_batches=before, **plan)
    resumed = Watched(make(shard, after))
    changes = {"n_micro_batches": after, "on_change": "continue"}
    run(tmp_path / "stopped", batches=resumed, objective=resumed.objective, **changes, **plan)
    assert list(resumed.seen) == list(range(EPOCH + 1, 16))
    assert broken.seen | resumed.seen == undisturbed.seen
