"""Turns: exact shares over a stretch, nearly so in any piece, and the same from wherever they are asked."""

import random

import numpy as np
import pytest

from luban.data.turns import Turns, apportion, plan_turns


def walk(turns: Turns, n: int) -> tuple[np.ndarray, np.ndarray]:
    return turns.take(0, n)


def shares_at_random(draw: random.Random) -> np.ndarray:
    n = draw.randrange(1, 9)
    shares = np.array([draw.random() ** draw.choice([1, 4, 12]) for _ in range(n)])
    if n > 2:
        shares[draw.randrange(n)] = 0
    return shares


@pytest.mark.parametrize("seed", range(40))
def test_an_epoch_holds_each_share_to_within_one_window(seed: int) -> None:
    draw = random.Random(seed)
    shares, epoch = shares_at_random(draw), draw.randrange(1, 3000)
    turns = plan_turns([shares], [], epoch=epoch)
    for first in (0, 3 * epoch):
        parts, _ = turns.take(first, first + epoch)
        counts = np.bincount(parts, minlength=len(shares))
        assert (abs(counts - epoch * shares / shares.sum()) < 1).all()
        assert not counts[shares == 0].any()


@pytest.mark.parametrize("seed", range(20))
def test_any_piece_asked_for_alone_is_the_same_and_turns_count_up(seed: int) -> None:
    draw = random.Random(seed)
    shares = [shares_at_random(draw)]
    shares += [np.array([draw.random() for _ in shares[0]]) for _ in range(2)]
    turns = plan_turns(shares, [draw.randrange(1, 300), 700], epoch=211, blend=draw.random() < 0.5)
    n = 1500
    parts, numbers = walk(turns, n)
    for part in range(len(shares[0])):
        assert numbers[parts == part].tolist() == list(range((parts == part).sum()))
    for _ in range(30):
        start = draw.randrange(n)
        stop = draw.randrange(start + 1, n + 1)
        piece = turns.take(start, stop)
        assert np.array_equal(piece[0], parts[start:stop])
        assert np.array_equal(piece[1], numbers[start:stop])
        assert np.array_equal(turns.counts(start), np.bincount(parts[:start], minlength=len(shares[0])))


def test_shares_hold_in_every_batch_too() -> None:
    parts, _ = walk(plan_turns([np.array([0.5, 0.25, 0.25])], [], epoch=10_000), 10_000)
    counts = np.array([np.bincount(row, minlength=3) for row in parts.reshape(-1, 20)])
    assert (abs(counts - [10, 5, 5]) <= 1).all()


def test_phases_have_their_own_shares_and_a_blend_moves_between_them() -> None:
    first, last = np.array([0.9, 0.1]), np.array([0.1, 0.9])
    at_once, _ = walk(plan_turns([first, last], [1000], epoch=1000), 2000)
    assert np.bincount(at_once[:1000]).tolist() == [900, 100]
    assert np.bincount(at_once[1000:]).tolist() == [100, 900]
    blended, _ = walk(plan_turns([first, last], [1000], epoch=1000, blend=True), 2000)
    tenths = [int((part == 0).sum()) for part in blended[:1000].reshape(10, 100)]
    assert tenths == pytest.approx([86, 78, 70, 62, 54, 46, 38, 30, 22, 14], abs=2)
    assert np.bincount(blended[1000:]).tolist() == [100, 900]


def test_a_run_of_a_thousand_million_windows_is_found_at_once() -> None:
    turns = plan_turns([np.array([0.7, 0.299, 0.001])], [], epoch=10**9)
    parts, numbers = turns.take(10**9 - 5000, 10**9)
    assert numbers.max() < 10**9
    assert np.array_equal(turns.counts(10**9), [700_000_000, 299_000_000, 1_000_000])
    middle = turns.counts(5 * 10**8)
    assert abs(middle - [350_000_000, 149_500_000, 500_000]).max() <= 2
    assert middle.sum() == 5 * 10**8


def test_apportioning_adds_up_and_never_wakes_a_zero() -> None:
    assert apportion(np.array([1.5, 1.5, 0.0, 7.0]), 10).tolist() == [2, 1, 0, 7]
    assert apportion(np.array([0.2, 0.2, 0.6]), 1).tolist() == [0, 0, 1]
