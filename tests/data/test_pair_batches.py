"""Pairs of like length share a batch, and what a step holds depends on seed and step alone."""

import numpy as np
import pytest
import torch

from luban.data.pair_batches import BucketedPairs
from luban.errors import DataError
from luban.models.build import build_model
from luban.models.families import FAMILIES
from luban.objectives.seq2seq import seq2seq, shift_right
from luban.records import IGNORE, Batch

START, PAD, END = 0, 0, 1


def ids(rng: np.random.Generator, low: int, high: int) -> list[int]:
    return [*rng.integers(2, 50, rng.integers(low, high)).tolist(), END]


def pairs(n: int = 300, seed: int = 0, high: int = 30) -> tuple[list[list[int]], list[list[int]]]:
    rng = np.random.default_rng(seed)
    sources = [ids(rng, 1, high) for _ in range(n)]
    targets = [ids(rng, max(1, len(s) - 3), len(s) + 3) for s in sources]
    return sources, targets


def batches(sources, targets, **changes) -> BucketedPairs:
    usual = {"tokens_per_batch": 256, "seed": 3, "start_id": START, "pad_id": PAD}
    return BucketedPairs(sources, targets, **(usual | changes))


def test_a_step_is_the_same_whenever_and_by_whomever_it_is_asked_for():
    made, again = batches(*pairs()), batches(*pairs())
    for step in (7, 1, 40, 7, made.steps_per_epoch + 1):
        for one, other in zip(made.at(step), again.at(step), strict=True):
            assert one.ids == other.ids
            assert torch.equal(one.source, other.source)
            assert torch.equal(one.targets, other.targets)
    assert batches(*pairs(), seed=4).at(1)[0].ids != made.at(1)[0].ids


def test_an_epoch_has_each_pair_once_and_the_next_mixes_them_anew():
    made = batches(*pairs())
    first = [i for step in range(1, made.steps_per_epoch + 1) for b in made.at(step) for i in b.ids]
    assert sorted(first) == list(range(300))
    after = made.steps_per_epoch
    assert made.at(1)[0].ids != made.at(after + 1)[0].ids
    assert sorted(i for b in made.in_order() for i in b.ids) == list(range(300))


def test_padded_source_and_target_keep_to_the_budget_and_little_is_padding():
    made = batches(*pairs(2000), tokens_per_batch=512)
    found = [b for step in range(1, made.steps_per_epoch + 1) for b in made.at(step)]
    assert max(b.source.numel() + b.tokens.numel() for b in found) <= 512
    padding = sum(b.n_padding for b in found) / sum(b.n_positions for b in found)
    assert padding < 0.12


def test_a_pair_above_the_budget_is_alone():
    made = batches([[5] * 40, [6, 1]], [[7] * 40, [8, 1]], tokens_per_batch=20)
    assert sorted(len(b.ids) for b in made.in_order()) == [1, 1]


def test_the_decoder_reads_what_it_should_have_said_one_place_later():
    made = batches([[5, 1], [6, 7, 1]], [[8, 9, 1], [9, 1]], start_id=3)
    (batch,) = made.in_order()
    documents = batch.documents
    assert torch.equal(batch.tokens, shift_right(batch.targets, documents, start_id=3, pad_id=PAD))
    assert torch.equal(batch.targets == IGNORE, documents == 0)
    assert torch.equal(batch.source == PAD, batch.source_documents == 0)


@pytest.mark.parametrize("family", ["original", "t5"])
def test_pairs_lose_the_same_alone_in_a_padded_batch_and_in_micro_batches(family):
    config = FAMILIES[family].config(
        "tiny", vocab_size=50, dim=16, n_layers=1, n_heads=2, ffn_dim=32, dropout=0.0
    )
    model = build_model(config, seed=1).double().eval()
    sources, targets = pairs(12, high=8)
    with torch.no_grad():
        alone = sum(seq2seq(model, b).total for b in batches(sources, targets, tokens_per_batch=1).in_order())
        whole = batches(sources, targets, tokens_per_batch=10_000)
        (together,) = whole.in_order()
        packed = seq2seq(model, together).total
        parts = batches(sources, targets, tokens_per_batch=5_000, n_micro_batches=2).at(1)
        shared = sum(seq2seq(model, b).total for b in parts)
    assert len(parts) == 2
    assert alone.item() == pytest.approx(packed.item(), rel=1e-12)
    assert shared.item() == pytest.approx(packed.item(), rel=1e-12)


def test_pairs_packed_into_one_row_lose_what_they_lose_apart():
    config = FAMILIES["original"].config(
        "tiny", vocab_size=50, dim=16, n_layers=1, n_heads=2, ffn_dim=32, dropout=0.0
    )
    model = build_model(config, seed=1).double().eval()
    apart = list(batches([[5, 6, 1], [7, 1]], [[8, 1], [9, 10, 1]], tokens_per_batch=1).in_order())

    def row(name: str) -> torch.Tensor:
        return torch.cat([getattr(batch, name) for batch in apart], 1)

    def numbers(name: str) -> torch.Tensor:
        return torch.cat([getattr(batch, name) * i for i, batch in enumerate(apart, 1)], 1)

    packed = Batch(
        row("tokens"), numbers("documents"), row("targets"), (), row("source"), numbers("source_documents")
    )
    with torch.no_grad():
        alone = sum(seq2seq(model, batch).total.item() for batch in apart)
        assert seq2seq(model, packed).total.item() == pytest.approx(alone, rel=1e-12)


def test_no_pairs_and_empty_sides_are_refused():
    with pytest.raises(DataError, match="no pairs"):
        batches([], [])
    with pytest.raises(DataError, match="the target of pair 1 has no tokens"):
        batches([[1], [2]], [[1], []])
