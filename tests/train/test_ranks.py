"""Several processes see the samples of one, each once, and their sums are one process's."""

from __future__ import annotations

import itertools
import random
import socket
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn

from luban.errors import ConfigError, DataError
from luban.records import Batch
from luban.train.alike import check_alike
from luban.train.joining import RanksError, join, joined, mesh_sizes
from luban.train.ranks import ALONE, Ranks, Share
from luban.train.settings import ParallelSettings, TrainSettings
from tests.train.crew import Crew


def settings(**parallel: Any) -> TrainSettings:
    return TrainSettings(device="cpu", threads=1, parallel=ParallelSettings(**parallel))


def batches(sizes: list[int]) -> list[Batch]:
    """Micro-batches of so many rows of uneven width; ids count from 0, and tokens repeat them."""
    ids, made = itertools.count(), []
    for i, n in enumerate(sizes):
        own = tuple(itertools.islice(ids, n))
        tokens = torch.tensor(own)[:, None].expand(-1, 2 + i % 3).contiguous()
        made.append(Batch(tokens, torch.ones_like(tokens), tokens + 1, own))
    return made


def deal_all(micro_batches: list[Batch], size: int) -> list[list[Share]]:
    return [Ranks(rank=r, size=size).deal(micro_batches) for r in range(size)]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("seed", range(12))
def test_all_ranks_together_see_each_sample_once_and_compute_equally_often(size: int, seed: int) -> None:
    draw = random.Random(seed)
    whole = batches([draw.randint(1, 9) for _ in range(draw.randint(1, 6))])
    shares = deal_all(whole, size)
    assert len({len(s) for s in shares}) == 1
    counted = [s for dealt in shares for s in dealt if s.counts]
    assert sorted(i for s in counted for i in s.batch.ids) == sorted(i for b in whole for i in b.ids)
    for share in counted:
        assert share.batch.tokens[:, 0].tolist() == list(share.batch.ids)
        assert torch.equal(share.batch.targets, share.batch.tokens + 1)
    numbers = [s.number for dealt in shares for s in dealt]
    assert sorted(numbers) == list(range(len(numbers)))


@pytest.mark.parametrize("size", [1, 2, 3, 6])
def test_micro_batches_that_come_out_even_stay_whole_and_keep_their_numbers(size: int) -> None:
    whole = batches([4, 1, 3, 2, 5, 1])
    for rank, dealt in enumerate(deal_all(whole, size)):
        assert [s.number for s in dealt] == list(range(rank, 6, size))
        assert all(s.batch is whole[s.number] and s.counts for s in dealt)


def test_the_largest_batches_are_split_and_nearly_evenly() -> None:
    sizes = [len(s.batch.tokens) for dealt in deal_all(batches([2, 9]), 4) for s in dealt]
    assert sorted(sizes) == [2, 3, 3, 3]


def test_a_rank_without_a_row_of_its_own_repeats_one_that_does_not_count() -> None:
    shares = [s for dealt in deal_all(batches([2]), 3) for s in dealt]
    assert [s.counts for s in shares] == [True, True, False]
    assert shares[2].batch.ids in ((0,), (1,))


def test_pairs_go_to_ranks_whole() -> None:
    rows = torch.arange(12).view(6, 2)
    batch = Batch(rows, rows, rows, tuple(range(6)), signal=torch.ones(3, 1), group=2)
    parts = [share.batch for dealt in deal_all([batch], 2) for share in dealt if share.counts]
    assert sorted(i for b in parts for i in b.ids) == list(range(6))
    for part in parts:
        assert part.ids[0] % 2 == 0
        assert part.signal is not None
        assert 2 * len(part.signal) == len(part.tokens) == len(part.ids)


def test_rows_that_learn_from_each_other_stay_together() -> None:
    tokens = torch.ones(4, 2, dtype=torch.long)
    pairs = Batch(tokens, tokens, torch.arange(4), tuple(range(4)), tokens, tokens)
    uneven = Batch(tokens, tokens, tokens, tuple(range(4)), tokens[:3], tokens[:3])
    for batch in (pairs, uneven):
        first, second = (s for dealt in deal_all([batch], 2) for s in dealt)
        assert (first.batch, first.counts, second.batch, second.counts) == (batch, True, batch, False)


def _sums(rank_gradients: list[list[float | None]]) -> Any:
    """Reduce, clip and share on one rank; what comes back is plain."""
    with joined(settings()) as ranks:
        parameters = [nn.Parameter(torch.zeros(2, 3)) for _ in rank_gradients[0]]
        for p, value in zip(parameters, rank_gradients[ranks.rank], strict=True):
            p.grad = None if value is None else torch.full((2, 3), value)
        total = ranks.sum(torch.tensor([ranks.rank + 1, 2], dtype=torch.float64)).tolist()
        ranks.reduce(parameters)
        grads = [None if p.grad is None else p.grad[0, 0].item() for p in parameters]
        norm = ranks.norm_and_clip(parameters, 1.0)
        clipped = sum(float((p.grad**2).sum()) for p in parameters if p.grad is not None)
        ranks.barrier()
        flags = ranks.any(ranks.rank == 1), ranks.any(False)
        return total, grads, norm, clipped, flags, ranks.share({"rank": ranks.rank, "text": "鲁班"})


def test_two_ranks_add_up_what_one_has_and_what_both_have(crew: Crew) -> None:
    answers = crew.run(2, _sums, [[1.0, None, None], [2.0, 5.0, None]])
    assert answers[0] == answers[1]
    total, grads, norm, clipped, flags, shared = answers[0]
    assert total == [3, 4]
    assert grads == [3, 5, None]  # a layer that no rank reached stays without a gradient
    assert norm == pytest.approx((6 * 9 + 6 * 25) ** 0.5)
    assert clipped == pytest.approx(1, abs=1e-5)
    assert flags == (True, False)
    assert shared == {"rank": 0, "text": "鲁班"}


def _places(parallel: dict[str, Any]) -> Any:
    with joined(settings(**parallel)) as ranks:
        assert ranks.mesh is not None
        assert ranks.data_group is not None
        groups = [ranks.mesh.get_group(dim) for dim in range(3)] + [ranks.data_group]
        waits = [group._get_backend(torch.device("cpu")).options._timeout for group in groups]
        total = ranks.sum(torch.tensor(10.0**ranks.rank)).item()
        return ranks.rank, ranks.size, ranks.is_first, total, [w.total_seconds() for w in waits]


def test_ranks_that_share_matrix_products_read_the_same_data_and_wait_as_long_as_told(crew: Crew) -> None:
    places = crew.run(4, _places, {"tensor": 2, "shard": 2, "timeout_seconds": 33})
    assert [(rank, size) for rank, size, *_ in places] == [(0, 2), (0, 2), (1, 2), (1, 2)]
    assert [is_first for _, _, is_first, *_ in places] == [True, False, False, False]
    assert [total for _, _, _, total, _ in places] == [11] * 4
    assert {w for *_, waits in places for w in waits} == {33}


def test_alone_changes_nothing_and_imports_nothing_distributed() -> None:
    parameter = nn.Parameter(torch.zeros(2))
    parameter.grad = torch.tensor([3.0, 4.0])
    whole = batches([3, 2])
    assert [(s.number, s.batch, s.counts) for s in ALONE.deal(whole)] == [
        (0, whole[0], True),
        (1, whole[1], True),
    ]
    ALONE.reduce([parameter])
    assert ALONE.norm_and_clip([parameter], 1.0) == 5.0
    assert ALONE.sum(one := torch.tensor(1.0)) is one
    assert ALONE.any(True)
    assert not ALONE.any(False)
    assert ALONE.share("x") == "x"
    code = (
        "import sys, luban.train.ranks, luban.train.joining; print('torch.distributed.tensor' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "False\n"


class _Fixed:
    """The same batches at every step."""

    def __init__(self, sizes: list[int]):
        self._batches = batches(sizes)

    def at(self, step: int) -> list[Batch]:
        return self._batches


def _alike(widths: list[int], sizes: list[list[int]]) -> str:
    with joined(settings()) as ranks:
        try:
            check_alike(nn.Linear(widths[ranks.rank], 2), _Fixed(sizes[ranks.rank]), ranks)
        except DataError as e:
            return e.problem
        return "alike"


@pytest.mark.parametrize(
    ("widths", "sizes", "answer"),
    [
        ([3, 3], [[4, 2], [4, 2]], "alike"),
        ([3, 4], [[4, 2], [4, 2]], "the processes do not have the same weights"),
        ([3, 3], [[4, 2], [2, 4]], "the processes do not have the same samples of step 1"),
    ],
)
def test_processes_that_prepared_other_runs_are_refused_all_of_them(
    crew: Crew, widths: list[int], sizes: list[list[int]], answer: str
) -> None:
    assert crew.run(2, _alike, widths, sizes) == [answer, answer]


def environment(monkeypatch: pytest.MonkeyPatch, **values: object) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
        if name in values:
            monkeypatch.setenv(name, str(values[name]))


FULL = {"RANK": 0, "WORLD_SIZE": 2, "LOCAL_RANK": 0, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": 1}


def test_without_torchruns_environment_a_process_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    environment(monkeypatch)
    assert join(settings()) is ALONE
    environment(monkeypatch, **(FULL | {"WORLD_SIZE": 1}))
    assert join(settings()) is ALONE


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"WORLD_SIZE": 2}, "the environment has WORLD_SIZE, but not RANK"),
        ({"RANK": 0}, "the environment has RANK, but not WORLD_SIZE"),
        (FULL | {"RANK": 2}, "RANK = 2 is not below WORLD_SIZE = 2"),
        (FULL | {"RANK": "x"}, "RANK = 'x' is not a whole number"),
    ],
)
def test_half_an_environment_is_refused(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, object], message: str
) -> None:
    environment(monkeypatch, **values)
    with pytest.raises(ConfigError, match=message):
        join(settings())


@pytest.mark.parametrize(
    ("parallel", "message"),
    [
        ({"tensor": 3}, "4 processes do not divide by parallel.tensor = 3"),
        ({"shard": 3}, "4 processes do not divide by parallel.shard × parallel.tensor = 3 × 1"),
        ({"shard": 4, "tensor": 2}, "4 processes do not divide by parallel.shard × parallel.tensor = 4 × 2"),
    ],
)
def test_processes_that_do_not_divide_are_refused(parallel: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        mesh_sizes(ParallelSettings(**parallel), 4)


def test_every_process_finds_a_place_in_the_mesh() -> None:
    assert mesh_sizes(ParallelSettings(), 4) == (4, 1, 1)
    assert mesh_sizes(ParallelSettings(shard=0), 4) == (1, 4, 1)
    assert mesh_sizes(ParallelSettings(shard=0, tensor=2), 8) == (1, 4, 2)
    assert mesh_sizes(ParallelSettings(shard=2, tensor=2), 8) == (2, 2, 2)


def test_a_rank_that_never_comes_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    environment(monkeypatch, **(FULL | {"MASTER_PORT": port}))
    with pytest.raises(RanksError, match="1 of 2 processes came to 127.0.0.1:.* within 0.5 s"):
        join(settings(timeout_seconds=0.5))


def test_a_first_process_that_never_comes_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    environment(monkeypatch, **(FULL | {"RANK": 1}))
    with pytest.raises(RanksError, match="process 1 got no answer at 127.0.0.1:1 within 0.5 s"):
        join(settings(timeout_seconds=0.5))
