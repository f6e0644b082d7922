"""Packed rows: each once an epoch, whole, alone, and next to no padding."""

import random

import pytest
import torch

from luban.data.packing import PackedRows, pack
from luban.errors import DataError
from luban.records import IGNORE


def rows(n: int = 150, seed: int = 1) -> tuple[list[list[int]], list[list[bool]]]:
    draw = random.Random(seed)
    lengths = [min(300, int(draw.lognormvariate(4, 0.7)) + 2) for _ in range(n)]
    ids = [[draw.randrange(5, 99) for _ in range(length)] for length in lengths]
    return ids, [[j >= len(r) // 2 for j in range(len(r))] for r in ids]


def packed(n: int = 150, **changes: int) -> PackedRows:
    return PackedRows(*rows(n), **{"tokens_per_batch": 600, "seed": 3, **changes})  # type: ignore[arg-type]


def same(a: object, b: object) -> bool:
    return all(torch.equal(getattr(a, name), getattr(b, name)) for name in ("tokens", "documents", "targets"))


@pytest.mark.parametrize("n_micro_batches", [1, 3])
def test_every_epoch_has_each_row_once(n_micro_batches: int) -> None:
    batches = packed(n_micro_batches=n_micro_batches)
    n = batches.steps_per_epoch
    first = [id for step in range(1, n + 1) for b in batches.at(step) for id in b.ids]
    assert sorted(first) == list(range(150))
    assert [id for b in batches.at(n + 1) for id in b.ids] != [id for b in batches.at(1) for id in b.ids]


def test_a_step_depends_on_seed_and_number_alone() -> None:
    batches, again = packed(), packed()
    late = again.at(50)
    for step in (50, 1, 20):
        assert all(same(a, b) for a, b in zip(batches.at(step), again.at(step), strict=True))
    assert same(late[0], batches.at(50)[0])
    assert not same(packed(seed=4).at(1)[0], batches.at(1)[0])


def test_the_rows_of_a_step_do_not_depend_on_how_it_is_divided() -> None:
    one, four = packed(tokens_per_batch=1200), packed(tokens_per_batch=300, n_micro_batches=4)
    for step in (1, 7, 23):
        assert sorted(i for b in one.at(step) for i in b.ids) == sorted(
            i for b in four.at(step) for i in b.ids
        )


def test_rows_stand_whole_and_alone_and_predict_only_what_is_supervised() -> None:
    ids, flags = rows()
    for batch in packed().at(5):
        order = iter(batch.ids)
        for tokens, documents, targets in zip(batch.tokens, batch.documents, batch.targets, strict=True):
            for number in range(1, int(documents.max()) + 1):
                row, inside = next(order), documents == number
                assert tokens[inside].tolist() == ids[row]
                expected = [t if f else IGNORE for t, f in zip(ids[row], flags[row], strict=True)]
                assert targets[inside].tolist() == [*expected[1:], IGNORE]
            assert (targets[documents == 0] == IGNORE).all()


def test_next_to_nothing_is_padding_and_no_step_is_a_lonely_rest() -> None:
    batches = packed(n=1000, tokens_per_batch=2000)
    found = [b for step in range(1, batches.steps_per_epoch + 1) for b in batches.at(step)]
    n_positions = sum(b.n_positions for b in found)
    assert sum(b.n_padding for b in found) < 0.04 * n_positions
    assert max(b.n_positions for b in found) <= 2000
    assert min(b.n_positions for b in found) > 1000


def test_a_row_above_the_budget_is_alone() -> None:
    assert pack([0, 1, 2], [50, 900, 40], 300) == [[[1]], [[0], [2]]]


def test_gaps_go_to_the_longest_row_that_fits() -> None:
    assert pack([0, 1, 2, 3, 4], [10, 7, 6, 3, 3], 20) == [[[0], [1, 3]], [[2], [4]]]


def test_in_order_yields_each_row_once() -> None:
    found = [i for b in packed().in_order() for i in b.ids]
    assert sorted(found) == list(range(150))


def test_no_rows_at_all_are_refused() -> None:
    with pytest.raises(DataError, match="no rows"):
        PackedRows([], [], tokens_per_batch=10, seed=1)
