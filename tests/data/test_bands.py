import itertools
import random

import numpy as np
import pytest

from luban.data.bands import SMALL_BUCKET, BucketPairs, Candidates, Copies, bucket_pairs, may_reach

pa = pytest.importorskip("pyarrow")


def table(**columns: list[int]) -> pa.Table:
    return pa.table({name: pa.array(values, pa.int64()) for name, values in columns.items()})


def test_small_buckets_give_every_pair() -> None:
    sizes = [1, 2, 5, SMALL_BUCKET, 1]
    begins = np.cumsum([0, *sizes[:-1]])
    orders = np.array(random.Random(1).sample(range(1000), sum(sizes)))
    for begin, size in zip(begins, sizes, strict=True):
        orders[begin : begin + size].sort()
    found = bucket_pairs(orders, begins)
    expected = {
        pair
        for begin, size in zip(begins, sizes, strict=True)
        for pair in itertools.combinations(orders[begin : begin + size].tolist(), 2)
    }
    assert set(zip(found.left.tolist(), found.right.tolist(), strict=True)) == expected
    assert not found.large.any()


def test_a_bucket_of_thousands_gives_thousands_of_pairs_and_says_so() -> None:
    found = bucket_pairs(np.arange(5000), np.array([0]))
    assert len(found.left) < 10_000
    assert found.large.all()
    assert set(found.right.tolist()) == set(range(1, 5000))
    assert (found.left < found.right).all()


def test_pairs_of_several_buckets_are_one_and_large_if_one_of_them_is() -> None:
    pairs = Candidates(np.array([3, 1, 3, 1]), np.array([4, 2, 4, 3]), np.array([False, False, True, False]))
    found = pairs.unique()
    assert found.left.tolist() == [1, 1, 3]
    assert found.right.tolist() == [2, 3, 4]
    assert found.large.tolist() == [False, False, True]


def test_groups_of_a_table_become_pairs_and_copies() -> None:
    pairs = BucketPairs()(table(order=[0, 7, 3, 1, 4, 9], band_key=[5, 5, 6, 8, 8, 8]))
    assert pairs.column("left").to_pylist() == [0, 1, 1, 4]
    assert pairs.column("right").to_pylist() == [7, 4, 9, 9]
    copies = Copies()(table(order=[0, 7, 3, 1, 4, 9], key=[5, 5, 6, 8, 8, 8]))
    assert copies.to_pylist() == [{"order": 7, "home": 0}, {"order": 4, "home": 1}, {"order": 9, "home": 1}]
    empty = table(order=[], band_key=[])
    assert BucketPairs()(empty).num_rows == 0


def test_sketches_pass_what_may_be_similar_and_stop_what_cannot() -> None:
    rng = np.random.default_rng(1)
    one = rng.integers(0, 256, (1, 120), dtype=np.uint8)
    sketches = np.repeat(one, 3, axis=0)
    sketches[1, :50] = rng.integers(0, 256, 50)  # about 58 % alike
    sketches[2, :100] = rng.integers(0, 256, 100)  # about 17 %
    pairs = Candidates(np.array([0, 0]), np.array([1, 2]), np.zeros(2, bool))
    assert may_reach(sketches, pairs, 0.6).tolist() == [True, False]
