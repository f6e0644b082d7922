"""KTO against its paper's formula in float64."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from luban.objectives.answers import answer_log_probs
from luban.objectives.unpaired import gains, unpaired
from luban.records import Batch
from tests.objectives.test_preference import batch_of, toy


def kto_batch() -> Batch:
    """Two groups of two labelled rows and two others; the last one only fills its group.

    The others of the first have become likelier, so that z is above 0, and those of the second less so.
    """
    batch = batch_of(4)
    assert batch.reference is not None
    batch.reference[2:4], batch.reference[6:8] = -12.0, 0.0
    return replace(batch, signal=torch.tensor([[1.0, -1.0], [-1.0, 0.0]]))


def test_the_loss_is_the_papers_formula_group_by_group() -> None:
    model, batch = toy(), kto_batch()
    assert batch.reference is not None
    ratios = (answer_log_probs(model, batch)[0] - batch.reference).double().tolist()
    beta, good, bad = 0.3, 1.5, 0.8
    total = 0.0
    for group, labels in enumerate(([1, -1], [-1, 0])):
        own, others = ratios[4 * group : 4 * group + 2], ratios[4 * group + 2 : 4 * group + 4]
        z = max(0.0, sum(others) / 2)
        for ratio, label in zip(own, labels, strict=True):
            if label == 1:
                total += good * (1 - 1 / (1 + math.exp(-beta * (ratio - z))))
            elif label == -1:
                total += bad * (1 - 1 / (1 + math.exp(-beta * (z - ratio))))
    loss = unpaired(model, batch, beta=beta, desirable=good, undesirable=bad)
    assert loss.n_targets == 3
    assert loss.total.item() == pytest.approx(total, rel=1e-5)


def test_groups_add_up_to_the_whole() -> None:
    model, batch = toy(), kto_batch()
    whole = unpaired(model, batch)
    parts = []
    for group in (0, 1):
        rows = slice(4 * group, 4 * group + 4)
        cut = {k: getattr(batch, k)[rows] for k in ("tokens", "documents", "targets", "reference")}
        assert batch.signal is not None
        parts.append(unpaired(model, replace(batch, **cut, signal=batch.signal[group : group + 1])))
    assert sum(p.total.item() for p in parts) == pytest.approx(whole.total.item(), rel=1e-5)
    assert sum(int(p.n_targets) for p in parts) == whole.n_targets


def test_no_gradient_flows_through_how_far_the_model_has_moved() -> None:
    model, batch = toy(), kto_batch()
    gained, z = gains(model, batch)
    assert gained.requires_grad
    assert not z.requires_grad
    assert z[0].item() > 0
    assert z[1].item() == 0
