"""Negative sampling against arithmetic done by hand."""

from __future__ import annotations

import math
import sys

import pytest
import torch
from torch import Tensor, nn

from luban.objectives.skip_gram import contrast, noise_table, pairs, skip_gram
from luban.records import IGNORE, Batch


class Head(nn.Module):
    def __init__(self, weight: Tensor):
        super().__init__()
        self.weight = nn.Parameter(weight)

    def features(self, hidden: Tensor) -> Tensor:
        return hidden


class TwoTables(nn.Module):
    """Word vectors and context vectors, nothing else."""

    def __init__(self, words: Tensor, contexts: Tensor):
        super().__init__()
        self.words, self.head = nn.Parameter(words), Head(contexts)

    def hidden(self, tokens: Tensor, documents: Tensor) -> Tensor:
        return self.words[tokens]


def batch_of(tokens: list[list[int]], documents: list[list[int]] | None = None) -> Batch:
    words = torch.tensor(tokens)
    numbers = torch.tensor(documents) if documents else torch.ones_like(words)
    return Batch(words, numbers, torch.where(numbers > 0, words, IGNORE))


def minus_log_sigmoid(x: float) -> float:
    return math.log(1 + math.exp(-x))


def test_two_words_and_their_noise_add_up_by_hand() -> None:
    words = torch.tensor([[1.0, 0.0], [0.0, 2.0], [9.0, 9.0]])
    contexts = torch.tensor([[0.5, 0.5], [1.0, -1.0], [-2.0, 3.0]])
    loss = contrast(
        TwoTables(words, contexts),
        batch_of([[0, 1]]),
        reach=torch.tensor([[1, 1]]),
        drawn=torch.tensor([[2, 1]]),
        n_negatives=3,
    )
    # 0 tells 1: u·v = 1; noise 2 and 1: -2 and 1. 1 tells 0: u·v = 1; noise 2 and 1: 6 and -2.
    true = 2 * minus_log_sigmoid(1)
    noise = 3 * (minus_log_sigmoid(2) + minus_log_sigmoid(-1)) / 2
    noise += 3 * (minus_log_sigmoid(-6) + minus_log_sigmoid(2)) / 2
    assert loss.n_targets == 2
    assert loss.total.item() == pytest.approx(true + noise)


def test_shared_noise_words_stand_for_the_expectation_of_the_paper() -> None:
    """With every word drawn as often as the noise says, it is equation 4 word for word."""
    torch.manual_seed(0)
    model = TwoTables(torch.randn(3, 4), torch.randn(3, 4))
    loss = contrast(
        model, batch_of([[0, 1]]), torch.tensor([[1, 1]]), torch.tensor([[0, 0, 0, 1, 1, 2]]), n_negatives=5
    )
    by_hand = 0.0
    for centre, word in ((0, 1), (1, 0)):
        scores = (model.head.weight @ model.words[centre]).tolist()
        noise = sum(p * minus_log_sigmoid(-s) for p, s in zip((1 / 2, 1 / 3, 1 / 6), scores, strict=True))
        by_hand += minus_log_sigmoid(scores[word]) + 5 * noise
    assert loss.total.item() == pytest.approx(by_hand, rel=1e-6)


def test_a_word_reaches_its_own_distance_inside_its_document() -> None:
    batch = batch_of([[5, 6, 7, 8, 0]], [[1, 1, 1, 2, 0]])
    found = pairs(batch, torch.tensor([[1, 2, 2, 4, 4]]))[0].nonzero().tolist()
    assert found == [[0, 1], [1, 0], [1, 2], [2, 0], [2, 1]]


def test_an_ignored_word_reads_but_is_not_told() -> None:
    batch = Batch(torch.tensor([[5, 6]]), torch.ones(1, 2, dtype=torch.long), torch.tensor([[5, IGNORE]]))
    assert pairs(batch, torch.tensor([[1, 1]]))[0].nonzero().tolist() == [[1, 0]]


def test_rows_add_up_to_the_whole_batch() -> None:
    torch.manual_seed(1)
    model = TwoTables(torch.randn(9, 4), torch.randn(9, 4))
    tokens, documents = [[1, 2, 3, 4], [5, 6, 0, 0]], [[1, 1, 1, 1], [1, 1, 0, 0]]
    reach, drawn = torch.tensor([[1, 2, 3, 1], [1, 1, 1, 1]]), torch.randint(9, (2, 8))
    whole = contrast(model, batch_of(tokens, documents), reach, drawn, 5)
    parts = [
        contrast(model, batch_of([tokens[i]], [documents[i]]), reach[i : i + 1], drawn[i : i + 1], 5)
        for i in range(2)
    ]
    assert sum(p.n_targets for p in parts) == whole.n_targets == 7 + 2 + 1
    assert sum(p.total.item() for p in parts) == pytest.approx(whole.total.item())


def test_noise_follows_the_counts_to_the_power_of_three_quarters() -> None:
    assert noise_table([0, 1, 16]).tolist() == pytest.approx([0, 1 / 9, 1])


def test_noise_words_and_distances_are_drawn_as_the_papers_say(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Tensor, Tensor]] = []
    where = sys.modules["luban.objectives.skip_gram"]
    monkeypatch.setattr(where, "contrast", lambda model, batch, *drawn: seen.append(drawn[:2]))
    torch.manual_seed(0)
    skip_gram(nn.Module(), batch_of([[1, 2] * 32] * 64), noise=noise_table([0, 1, 16]), window=4)
    reach, drawn = seen[0]
    share = drawn.flatten().bincount(minlength=3) / drawn.numel()
    assert float(share[2]) == pytest.approx(8 / 9, abs=0.02)
    assert (reach.flatten().bincount(minlength=6) / reach.numel()).tolist() == pytest.approx(
        [0, 0.25, 0.25, 0.25, 0.25, 0], abs=0.03
    )


def test_a_word_that_never_occurs_is_never_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []
    where = sys.modules["luban.objectives.skip_gram"]
    monkeypatch.setattr(where, "contrast", lambda model, batch, reach, drawn, n: seen.append(drawn))
    for lowest_or_highest in (0.0, 1.0):
        monkeypatch.setattr(
            torch, "rand", lambda *shape, at=lowest_or_highest, **kind: torch.full(shape, at, **kind)
        )
        skip_gram(nn.Module(), batch_of([[1, 2]]), noise=noise_table([0, 1, 16]))
    assert [set(drawn.flatten().tolist()) for drawn in seen] == [{1}, {2}]


def test_the_seed_decides_every_draw() -> None:
    model = TwoTables(torch.randn(5, 4), torch.randn(5, 4))
    batch, noise = batch_of([[0, 1, 2, 3, 4, 3, 2, 1]]), noise_table([1, 1, 2, 2, 1])
    totals = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        totals.append(skip_gram(model, batch, noise=noise).total.item())
    assert totals[0] == totals[1] != totals[2]


def test_vectors_of_zeros_cost_one_bit_a_choice() -> None:
    model = TwoTables(torch.zeros(5, 4), torch.zeros(5, 4))
    loss = skip_gram(model, batch_of([[0, 1, 2]]), noise=noise_table([1] * 5), window=1, n_negatives=5)
    assert loss.n_targets == 4
    assert loss.total.item() == pytest.approx(4 * 6 * math.log(2))
    loss.total.backward()
