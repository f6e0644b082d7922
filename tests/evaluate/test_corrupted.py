"""Scores of restored tokens by hand."""

from __future__ import annotations

import math

import pytest
import torch

from luban.errors import DataError
from luban.evaluate import corrupted as module
from luban.evaluate.corrupted import restored
from luban.records import IGNORE, Batch
from tests.objectives.toys import Toy


def batches(*targets: list[int]) -> list[Batch]:
    tokens = torch.tensor([[0, 1]])
    return [Batch(tokens, torch.ones_like(tokens), torch.tensor([row])) for row in targets]


def sure() -> Toy:
    """Token 0 says itself with probability 3/4, token 1 gives both a half."""
    model = Toy(vocab=2, dim=1)
    model.stem.weight.data = torch.tensor([[1.0], [0.0]])
    model.head.weight.data = torch.tensor([[math.log(3)], [0.0]])
    return model


@pytest.mark.parametrize("chunk_bytes", [8, 1 << 20])
def test_loss_and_accuracy_are_over_all_targets_of_all_batches(
    monkeypatch: pytest.MonkeyPatch, chunk_bytes: int
) -> None:
    monkeypatch.setattr(module, "CHUNK_BYTES", chunk_bytes)
    found = restored(sure(), batches([0, 1], [1, IGNORE]))
    assert found["loss"] == pytest.approx((math.log(4 / 3) + math.log(2) + math.log(4)) / 3)
    assert found["accuracy"] == pytest.approx(1 / 3)
    assert list(found) == ["loss", "accuracy"]  # the first decides which weights are best


def test_nothing_hidden_is_an_error() -> None:
    with pytest.raises(DataError, match="no token to hide"):
        restored(sure(), batches([IGNORE, IGNORE]))
