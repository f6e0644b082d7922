"""CTC against a sum over all paths, written out."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
import torch

from luban.errors import DataError
from luban.objectives.ctc import ctc
from luban.records import IGNORE, Batch
from tests.objectives.toys import Fixed


def collapse(path: tuple[int, ...]) -> list[int]:
    return [k for k, _ in itertools.groupby(path) if k != 0]


def nats(scores: list[list[float]], target: list[int]) -> float:
    """−log of the summed probability of every path that says the target."""
    p = torch.tensor(scores, dtype=torch.float64).softmax(-1).tolist()
    paths = itertools.product(range(len(p[0])), repeat=len(p))
    return -math.log(
        sum(math.prod(p[t][k] for t, k in enumerate(path)) for path in paths if collapse(path) == target)
    )


def speech(targets: list[list[int]], documents: list[list[int]]) -> Batch:
    numbers = torch.tensor(documents)
    return Batch(torch.zeros_like(numbers), numbers, torch.tensor(targets))


def scores(n_rows: int) -> list[list[list[float]]]:
    return torch.randn(n_rows, 4, 3, generator=torch.Generator().manual_seed(1)).tolist()


def test_every_path_that_says_the_targets_counts() -> None:
    given = scores(2)
    loss = ctc(Fixed(given), speech([[1, 2], [1, 1]], [[1] * 4] * 2))
    assert loss.n_targets == 4
    assert loss.total.item() == pytest.approx(nats(given[0], [1, 2]) + nats(given[1], [1, 1]), rel=1e-5)


def test_padding_of_frames_and_of_targets_is_left_out() -> None:
    given = scores(1)
    loss = ctc(Fixed(given), speech([[2, IGNORE, IGNORE]], [[1, 1, 1, 0]]))
    assert loss.n_targets == 1
    assert loss.total.item() == pytest.approx(nats(given[0][:3], [2]), rel=1e-5)


def test_a_transcript_longer_than_its_sound_is_named() -> None:
    batch = speech([[1, 2, IGNORE], [1, 1, 2]], [[1] * 3] * 2)
    with pytest.raises(DataError, match="row 1 of a batch has 3 frames, and its transcript needs 4"):
        ctc(Fixed([row[:3] for row in scores(2)]), batch)
    fine = replace(batch, targets=torch.tensor([[1, 2, IGNORE], [1, 1, IGNORE]]))
    assert ctc(Fixed([row[:3] for row in scores(2)]), fine).total.isfinite()
