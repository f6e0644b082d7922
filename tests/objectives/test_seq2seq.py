"""Teacher forcing: what the decoder reads, and what its loss is."""

from __future__ import annotations

import math

import pytest
import torch

from luban.objectives.seq2seq import seq2seq, shift_right
from luban.records import IGNORE, Batch
from tests.objectives.toys import Toy


def test_the_decoder_reads_the_start_then_each_token_said() -> None:
    targets = torch.tensor([[5, 6, 1, IGNORE], [7, 1, IGNORE, IGNORE]])
    documents = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0]])
    shifted = shift_right(targets, documents, start_id=9, pad_id=0)
    assert shifted.tolist() == [[9, 5, 6, 0], [9, 7, 0, 0]]


def test_every_packed_document_starts_anew() -> None:
    targets, documents = torch.tensor([[5, 1, 6, 1]]), torch.tensor([[1, 1, 2, 2]])
    assert shift_right(targets, documents, start_id=9).tolist() == [[9, 5, 9, 6]]


def pair(targets: list[int]) -> Batch:
    known, source = torch.tensor([targets]), torch.tensor([[1, 1]])
    documents = torch.ones_like(known)
    tokens = shift_right(known, documents, start_id=0)
    return Batch(tokens, documents, known, (), source, torch.ones_like(source))


def test_the_loss_depends_on_the_source() -> None:
    model = Toy(vocab=2, dim=1)
    model.stem.weight.data = torch.tensor([[0.0], [2.0]])
    model.head.weight.data = torch.tensor([[0.0], [1.0]])
    loss = seq2seq(model, pair([1]))  # the start gives 0, the source 2: scores (0, 2)
    assert loss.n_targets == 1
    assert loss.total.item() == pytest.approx(math.log(1 + math.exp(-2)))
    assert model.seen["tokens"].tolist() == [[0]]


def test_label_smoothing_spreads_its_share_over_the_vocabulary() -> None:
    model = Toy(vocab=2, dim=1)
    model.stem.weight.data = torch.tensor([[0.0], [2.0]])
    model.head.weight.data = torch.tensor([[0.0], [1.0]])
    loss = seq2seq(model, pair([1]), label_smoothing=0.1)
    right, wrong = math.log(1 + math.exp(-2)), math.log(1 + math.exp(2))
    assert loss.total.item() == pytest.approx(0.95 * right + 0.05 * wrong)
