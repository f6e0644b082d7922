"""Batches are a pure function of (seed, step); documents are kept apart; little is padding."""

import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from luban.data.batches import Bucketed, PackedWindows
from luban.data.shards import TOKEN_BYTES, ShardWriter
from luban.errors import DataError
from luban.records import IGNORE, Batch

END = 1


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    draw = random.Random(3)
    with ShardWriter(tmp_path, "train", 100) as writer:
        for i in range(40):
            tokens = [draw.randrange(5, 100) for _ in range(draw.randrange(1, 30))]
            writer.add(str(i), [*tokens, END], len(tokens))
    sizes = np.ones(100)
    sizes[:5] = 0
    np.save(tmp_path / TOKEN_BYTES, sizes)
    return tmp_path / "train"


def windows(prefix: Path, **changes: int) -> PackedWindows:
    return PackedWindows(prefix, **{"context": 16, "batch_size": 3, "seed": 1, **changes})


def same(a: list[Batch], b: list[Batch]) -> bool:
    return len(a) == len(b) and all(
        x.ids == y.ids
        and torch.equal(x.tokens, y.tokens)
        and torch.equal(x.documents, y.documents)
        and torch.equal(x.targets, y.targets)
        for x, y in zip(a, b, strict=True)
    )


def test_a_step_does_not_depend_on_the_steps_asked_before(prefix: Path) -> None:
    walked, jumped = windows(prefix), windows(prefix)
    steps = [walked.at(step) for step in range(1, 60)]
    for step in random.Random(1).sample(range(1, 60), 20):
        assert same(jumped.at(step), steps[step - 1])


@pytest.mark.parametrize("context", range(1, 40))
def test_reading_in_order_supervises_every_token_once_whatever_is_left_over(
    prefix: Path, context: int
) -> None:
    split = windows(prefix, context=context)
    targets = torch.cat([b.targets[b.targets != IGNORE] for b in split.in_order()])
    starts = split.shard.offsets[:-1]
    assert targets.tolist() == np.delete(split.shard.tokens, starts).tolist()


def test_threads_see_the_same_batches(prefix: Path) -> None:
    packed, rows = windows(prefix), bucketed([5, 9, 2, 7, 3] * 20)
    alone = [(packed.at(s), bucketed([5, 9, 2, 7, 3] * 20).at(s)) for s in range(1, 30)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda s: (packed.at(s), rows.at(s)), range(1, 30)))
    assert all(same(a[0], b[0]) and same(a[1], b[1]) for a, b in zip(alone, together, strict=True))


def test_threads_that_meet_while_epochs_are_counted_see_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = [bucketed(skewed(60), budget=256).at(s) for s in range(1, 80)]
    quick = Bucketed._plan

    def slow(self: Bucketed, epoch: int) -> list[np.ndarray]:
        time.sleep(0.002)
        return quick(self, epoch)

    n_steps = {len(bucketed(skewed(60), budget=256)._plan(epoch)) for epoch in range(5)}
    assert len(n_steps) > 1  # or a miscount would not show
    monkeypatch.setattr(Bucketed, "_plan", slow)
    rows = bucketed(skewed(60), budget=256)
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(rows.at, range(79, 0, -1)))[::-1]
    assert all(same(a, b) for a, b in zip(alone, together, strict=True))


def test_every_epoch_has_each_window_once(prefix: Path) -> None:
    packed = windows(prefix)
    n = packed.n_windows
    assert n % 3 != 0  # batches cross from one epoch into the next
    seen = [i for step in range(1, n + 1) for batch in packed.at(step) for i in batch.ids]
    epochs = [seen[start : start + n] for start in range(0, 3 * n, n)]
    assert all(sorted(e) == list(range(n)) for e in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_seeds_give_different_orders(prefix: Path) -> None:
    assert windows(prefix, seed=1).at(1)[0].ids != windows(prefix, seed=2).at(1)[0].ids


@pytest.mark.parametrize("m", [2, 3])
def test_micro_batches_hold_the_samples_of_one_larger_batch(prefix: Path, m: int) -> None:
    whole, parts = windows(prefix, batch_size=2 * m), windows(prefix, batch_size=2, n_micro_batches=m)
    for step in range(1, 20):
        assert len(parts.at(step)) == m
        assert sum((b.ids for b in parts.at(step)), ()) == whole.at(step)[0].ids
    lengths = [random.Random(i).randrange(2, 30) for i in range(200)]
    whole_rows, part_rows = bucketed(lengths, budget=64 * m), bucketed(lengths, budget=64, n_micro_batches=m)
    for step in range(1, 60):
        assert len(part_rows.at(step)) <= m
        assert sum((b.ids for b in part_rows.at(step)), ()) == whole_rows.at(step)[0].ids


def test_targets_are_the_next_tokens_of_the_same_document(prefix: Path) -> None:
    packed = windows(prefix)
    stream, offsets = packed.shard.tokens.astype(np.int64), packed.shard.offsets
    owner = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))  # which document a token belongs to
    for batch in packed.at(1) + packed.at(7) + list(packed.in_order()):
        for row, window in enumerate(batch.ids):
            for t in range(16):
                place = window * 16 + t
                if place >= len(stream):
                    assert batch.documents[row, t] == 0
                    assert batch.targets[row, t] == IGNORE
                    continue
                assert batch.tokens[row, t] == stream[place]
                assert batch.documents[row, t] == owner[place] - owner[window * 16] + 1
                has_next = place + 1 < len(stream) and owner[place + 1] == owner[place]
                assert batch.targets[row, t] == (stream[place + 1] if has_next else IGNORE)


def test_end_tokens_are_supervised(prefix: Path) -> None:
    targets = torch.cat([b.targets.flatten() for b in windows(prefix).in_order()])
    assert (targets == END).sum() == 40


def test_in_order_reads_each_target_once_the_last_short_window_too(prefix: Path) -> None:
    packed = windows(prefix)
    batches = list(packed.in_order())
    assert (packed.n_tokens - 1) % 16 != 0
    assert [i for b in batches for i in b.ids] == list(range(packed.n_windows + 1))
    n_targets = sum(int((b.targets != IGNORE).sum()) for b in batches)
    assert n_targets == packed.n_tokens - 40  # all but each document's first token
    scored = sum(packed.count_bytes(b) for b in batches)
    assert scored == packed.n_bytes - 40  # one byte a token here
    assert batches[-1].n_padding > 0
    assert [i for b in packed.in_order(max_windows=5) for i in b.ids] == [0, 1, 2, 3, 4]


def test_tensors_are_int64_and_of_one_shape(prefix: Path) -> None:
    for batch in windows(prefix).at(2) + bucketed([3, 4]).at(1):
        assert batch.tokens.dtype == batch.documents.dtype == batch.targets.dtype == torch.int64
        assert batch.tokens.is_contiguous()
        assert batch.tokens.shape == batch.documents.shape


def test_a_batch_larger_than_the_data_says_what_fits(prefix: Path) -> None:
    n = windows(prefix).n_windows
    with pytest.raises(DataError, match=rf"takes batch_size × n_micro_batches = {n + 1} windows, .* has {n}"):
        windows(prefix, batch_size=n + 1).at(1)
    with pytest.raises(DataError, match=f"set batch_size to at most {n // 2},"):
        windows(prefix, batch_size=n, n_micro_batches=2).at(1)
    with pytest.raises(
        DataError, match=r"less than one window of context = 9999\n  fix: .*context to at most"
    ):
        windows(prefix, context=9999).at(1)
    assert len(list(windows(prefix, context=9999).in_order())) == 1  # a small validation split still counts


def bucketed(lengths: list[int], budget: int = 64, **changes: int) -> Bucketed:
    rows = [[10 + i % 80] * length for i, length in enumerate(lengths)]
    settings = {"tokens_per_batch": budget, "seed": 1, "pad_id": 0, **changes}
    return Bucketed(rows, [i % 3 for i in range(len(rows))], **settings)


def skewed(n: int) -> list[int]:
    draw = random.Random(5)
    return [min(200, max(2, int(draw.lognormvariate(3, 0.8)))) for _ in range(n)]


def test_every_epoch_of_rows_has_each_row_once_and_steps_tile() -> None:
    rows = bucketed(skewed(300), budget=256)
    step, orders = 0, []
    for _ in range(4):
        seen: list[int] = []
        while len(seen) < 300:
            step += 1
            seen += [i for b in rows.at(step) for i in b.ids]
        assert sorted(seen) == list(range(300))
        orders.append(seen)
    assert len({tuple(o) for o in orders}) == 4
    assert rows.steps_per_epoch == len(rows._plan(0))
    fresh = bucketed(skewed(300), budget=256)
    assert same(fresh.at(step), rows.at(step))
    assert same(fresh.at(1), rows.at(1))


def test_epochs_mix_rows_differently_even_in_small_data() -> None:
    rows = bucketed(skewed(300), budget=256)
    n = rows.steps_per_epoch
    first = {frozenset(b.ids) for s in range(1, n + 1) for b in rows.at(s) if len(b.ids) > 3}
    second = {frozenset(b.ids) for s in range(n + 1, 2 * n + 1) for b in rows.at(s)}
    assert len(first) > 20
    assert not first & second


def test_little_is_padding_and_the_budget_holds() -> None:
    rows = bucketed(skewed(3000), budget=1024)
    batches = [b for step in range(1, rows.steps_per_epoch + 1) for b in rows.at(step)]
    n_padding, n_places = sum(b.n_padding for b in batches), sum(b.tokens.numel() for b in batches)
    assert n_padding / n_places < 0.10
    assert max(b.tokens.numel() for b in batches) <= 1024
    assert min(b.tokens.numel() for b in batches) > 400  # no lonely rest
    alone = bucketed([200, 3, 3], budget=64)
    assert sorted(i for s in range(1, alone.steps_per_epoch + 1) for b in alone.at(s) for i in b.ids) == [
        0,
        1,
        2,
    ]


def test_rows_are_whole_padded_and_keep_their_targets() -> None:
    lengths = skewed(50)
    for batch in [*bucketed(lengths).at(3), *bucketed(lengths).in_order()]:
        for row, i in enumerate(batch.ids):
            length = lengths[i]
            assert batch.tokens[row, :length].tolist() == [10 + i % 80] * length
            assert not batch.tokens[row, length:].any()
            assert batch.documents[row].tolist() == [1] * length + [0] * (batch.tokens.shape[1] - length)
            assert batch.targets[row] == i % 3
    assert Counter(i for b in bucketed(lengths).in_order() for i in b.ids) == Counter(range(50))


def test_no_rows_and_empty_rows_are_errors() -> None:
    with pytest.raises(DataError, match="there are no rows"):
        bucketed([])
    with pytest.raises(DataError, match="row 1 has no tokens"):
        bucketed([3, 0, 2])
