"""Rows that belong together stay together, whatever the step."""

from __future__ import annotations

import numpy as np

from luban.data.row_groups import Row, RowGroups
from luban.records import IGNORE


def rows(n: int = 40) -> list[Row]:
    return [([i + 1] * (2 + i * 7 % 11), [False] + [True] * (1 + i * 7 % 11)) for i in range(n)]


def test_an_epoch_has_every_group_once_and_whole() -> None:
    batches = RowGroups(rows(), 2, tokens_per_batch=64, seed=1, n_micro_batches=2)
    batches.reference = np.arange(40, dtype=np.float32)
    seen = [i for step in range(1, batches.steps_per_epoch + 1) for b in batches.at(step) for i in b.ids]
    assert sorted(seen) == list(range(40))
    assert all(b == a + 1 and a % 2 == 0 for a, b in zip(seen[::2], seen[1::2], strict=True))
    for batch in batches.in_order():
        assert batch.reference is not None
        assert batch.reference.tolist() == list(batch.ids)
        assert batch.tokens[:, 0].tolist() == [i + 1 for i in batch.ids]
        assert batch.signal is not None
        assert len(batch.signal) == len(batch.tokens) // 2


def test_targets_are_one_place_before_their_tokens() -> None:
    (batch,) = RowGroups(rows(2), 2, tokens_per_batch=999, seed=1).at(1)
    assert batch.targets[0].tolist() == [1] + [IGNORE] * (batch.tokens.shape[1] - 1)
    assert batch.documents.sum(1).tolist() == [2, 9]


def test_the_rows_of_a_step_do_not_depend_on_how_it_is_divided() -> None:
    one = RowGroups(rows(), 4, tokens_per_batch=128, seed=3)
    two = RowGroups(rows(), 4, tokens_per_batch=64, seed=3, n_micro_batches=2)
    for step in range(1, one.steps_per_epoch + 3):
        ids = [[i for b in batches.at(step) for i in b.ids] for batches in (one, two)]
        assert ids[0] == ids[1]
