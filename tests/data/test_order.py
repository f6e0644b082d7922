"""The order is a permutation, and the same however it is asked for."""

import numpy as np
import pytest

from luban.data.order import BLOCK, endless, permute


@pytest.mark.parametrize("n", [1, 2, 3, 5, 16, 17, 97, 1000, 4097])
@pytest.mark.parametrize(("seed", "epoch"), [(0, 0), (1, 0), (1, 9), (2**63, 5)])
def test_every_epoch_has_each_place_once(n: int, seed: int, epoch: int) -> None:
    assert sorted(permute(np.arange(n), n, seed, epoch)) == list(range(n))


def test_seeds_and_epochs_differ_and_little_stays_in_place() -> None:
    orders = [permute(np.arange(1000), 1000, seed, epoch) for seed in (1, 2) for epoch in (0, 1)]
    for i, a in enumerate(orders):
        assert (a == np.arange(1000)).mean() < 0.02
        assert abs(np.corrcoef(a, np.arange(1000))[0, 1]) < 0.1
        for b in orders[i + 1 :]:
            assert (a == b).mean() < 0.02


def test_the_order_stays_what_it_was() -> None:
    """A changed order would break the resumption of every run begun before."""
    assert permute(np.arange(10), 10, 1, 0).tolist() == [7, 1, 5, 4, 6, 0, 2, 3, 9, 8]


def test_one_place_is_found_without_the_others() -> None:
    whole = permute(np.arange(333), 333, 4, 2)
    assert [int(permute(np.array([i]), 333, 4, 2)[0]) for i in range(333)] == whole.tolist()


@pytest.mark.parametrize("n", [1, 7, BLOCK, BLOCK + 3])
def test_the_endless_order_is_epoch_after_epoch(n: int) -> None:
    epochs = np.concatenate([permute(np.arange(n), n, 5, epoch) for epoch in range(3)])
    assert endless(0, 3 * n, n, 5).tolist() == epochs.tolist()
    start, stop = n // 2, 2 * n + n // 3
    assert endless(start, stop, n, 5).tolist() == epochs[start:stop].tolist()
