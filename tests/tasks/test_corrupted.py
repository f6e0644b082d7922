"""Hidden parts are the same for the same seed and step, however rows are put into batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from luban.data.batches import PackedWindows
from luban.data.shards import TOKEN_BYTES, ShardWriter
from luban.objectives.masked_token import Masking, masked
from luban.objectives.span_corruption import Corruption, last_ids, without_spans
from luban.records import IGNORE, Batch
from luban.tasks.corrupted import CorruptedWindows, joined

END = 1
SPANS = Corruption(sentinels=last_ids(120, 10), start_id=0, end_id=END)
WAYS = {
    "masked": lambda batch, generator: masked(batch, Masking(mask_id=4, vocab_size=100), generator),
    "spans": lambda batch, generator: without_spans(batch, SPANS, generator),
}


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rng = tmp_path_factory.mktemp("shards"), np.random.default_rng(1)
    with ShardWriter(folder, "train", 100) as writer:
        for i in range(60):
            writer.add(str(i), [*rng.integers(5, 100, rng.integers(3, 30)).tolist(), END], 10)
    np.save(folder / TOKEN_BYTES, np.ones(100))
    return folder / "train"


def windows(prefix: Path, way: str, batch_size: int = 8, n_micro_batches: int = 1, seed: int = 1):
    plain = PackedWindows(
        prefix, context=24, batch_size=batch_size, seed=seed, n_micro_batches=n_micro_batches
    )
    return CorruptedWindows(plain, WAYS[way])


def equal(a: Batch, b: Batch) -> bool:
    names = ("tokens", "documents", "targets", "source", "source_documents")
    pairs = [(getattr(a, name), getattr(b, name)) for name in names]
    return a.ids == b.ids and all(x is y is None or torch.equal(x, y) for x, y in pairs)


@pytest.mark.parametrize("way", WAYS)
def test_a_step_is_the_same_in_any_order_and_another_step_or_seed_is_not(prefix: Path, way: str) -> None:
    first, second = windows(prefix, way), windows(prefix, way)
    second.at(9)
    torch.manual_seed(5)  # the training loop's own draws do not matter
    assert equal(first.at(3)[0], second.at(3)[0])
    assert not equal(first.at(3)[0], first.at(4)[0])
    assert not equal(first.at(3)[0], windows(prefix, way, seed=2).at(3)[0])


def test_what_a_window_hides_is_drawn_anew_at_each_step_and_for_each_seed(prefix: Path) -> None:
    def noise(step: int, seed: int) -> float:
        drawn: list[float] = []
        plain = PackedWindows(prefix, context=24, batch_size=8, seed=seed)

        def corrupt(batch: Batch, generator: torch.Generator) -> Batch:
            drawn.append(torch.rand((), generator=generator).item())
            return batch

        CorruptedWindows(plain, corrupt).at(step)
        return drawn[0]

    assert noise(3, 1) == noise(3, 1)
    assert len({noise(step, seed) for step in (3, 4) for seed in (1, 2)}) == 4


@pytest.mark.parametrize("way", WAYS)
def test_micro_batches_divide_a_step_and_change_nothing_else(prefix: Path, way: str) -> None:
    whole = windows(prefix, way, batch_size=8).at(2)
    parts = windows(prefix, way, batch_size=2, n_micro_batches=4).at(2)
    assert [len(part.tokens) for part in parts] == [2] * 4
    assert equal(joined(parts, 0), whole[0])


@pytest.mark.parametrize("way", WAYS)
def test_validation_hides_the_same_for_every_seed_and_batch_size(prefix: Path, way: str) -> None:
    some = joined(list(windows(prefix, way, batch_size=3).spread(10)), 0)
    same = joined(list(windows(prefix, way, batch_size=5, seed=7).spread(10)), 0)
    assert len(some.ids) == 10
    assert equal(some, same)


def test_rows_of_unequal_width_are_joined_with_padding() -> None:
    one, two = torch.ones(1, 1, dtype=torch.long), torch.full((1, 2), 2)
    made = joined([Batch(one, one, one, (7,), two, two), Batch(two, two, two, (8,), one, one)], pad_id=9)
    assert made.tokens.tolist() == [[1, 9], [2, 2]]
    assert made.documents.tolist() == [[1, 0], [2, 2]]
    assert made.targets.tolist() == [[1, IGNORE], [2, 2]]
    assert made.source.tolist() == [[2, 2], [1, 9]]
    assert made.source_documents.tolist() == [[2, 2], [1, 0]]
    assert made.ids == (7, 8)
