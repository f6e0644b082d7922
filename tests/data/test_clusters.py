import random

import numpy as np
import pytest

from luban.data.clusters import Pairs, contains, duplicates, join


def slow_roots(edges: list[tuple[int, int]], n: int) -> list[int]:
    """The least of what can be reached, by the textbook."""
    near: dict[int, set[int]] = {i: {i} for i in range(n)}
    for i, j in edges:
        near[i].add(j), near[j].add(i)
    roots = []
    for i in range(n):
        seen, waiting = {i}, [i]
        while waiting:
            new = near[waiting.pop()] - seen
            seen |= new
            waiting += new
        roots.append(min(seen))
    return roots


@pytest.mark.parametrize("seed", range(8))
def test_roots_are_the_least_that_links_lead_to(seed: int) -> None:
    rng = random.Random(seed)
    n = rng.randrange(2, 80)
    edges = [tuple(sorted(rng.sample(range(n), 2))) for _ in range(rng.randrange(2 * n))]
    left, right = np.array(edges, np.int64).reshape(-1, 2).T
    assert join(left, right).of(np.arange(n)).tolist() == slow_roots(edges, n)  # type: ignore[arg-type]


def test_a_long_chain_is_one_cluster() -> None:
    order = np.random.default_rng(1).permutation(3000)
    roots = join(np.minimum(order[1:], order[:-1]), np.maximum(order[1:], order[:-1]))
    assert set(roots.roots.tolist()) == {0}


def test_an_original_is_kept_and_the_most_similar_one_is_named() -> None:
    pairs = Pairs(np.array([0, 1, 0, 2, 1]), np.array([1, 2, 3, 3, 4]), np.array([0.8, 0.9, 0.8, 0.85, 0.9]))
    assert duplicates(pairs) == {1: (0, 0.8), 3: (2, 0.85)}  # 2 and 4 are like 1, which goes


def test_known_pairs_are_recognised() -> None:
    known = Pairs(np.array([1, 2]), np.array([5, 6]), np.ones(2))
    assert contains(known, np.array([1, 1, 2]), np.array([5, 6, 6])).tolist() == [True, False, True]
