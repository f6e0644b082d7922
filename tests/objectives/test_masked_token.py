"""Masking: what is hidden, what stands in its place, and what the loss counts."""

from __future__ import annotations

import math

import pytest
import torch

from luban.objectives.masked_token import Masking, choose, hide, masked, masked_token
from luban.records import IGNORE
from tests.objectives.toys import Toy, generator, rows

MASK, VOCAB = 4, 50
MASKING = Masking(mask_id=MASK, vocab_size=VOCAB, special_ids=(0, 1))


def many(n_rows: int = 40, width: int = 100) -> torch.Tensor:
    return torch.randint(5, VOCAB, (n_rows, width), generator=generator(9))


def test_a_row_hides_its_share_of_tokens_exactly() -> None:
    tokens = many()
    assert choose(tokens, torch.ones_like(tokens), MASKING, generator()).sum(1).tolist() == [15] * 40


def test_every_place_is_equally_likely() -> None:
    tokens = many(4000, 20)
    share = choose(tokens, torch.ones_like(tokens), MASKING, generator()).float().mean(0)
    assert (share - 0.15).abs().max() < 0.025


def test_padding_and_special_tokens_are_never_hidden_and_do_not_count() -> None:
    tokens = torch.tensor([[1, 7, 7, 1, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7]])
    documents = torch.tensor([[1] * 4 + [2] * 8 + [0] * 2])
    drawn = [choose(tokens, documents, MASKING, generator(seed)) for seed in range(50)]
    assert {int(d.sum()) for d in drawn} == {2}  # round(0.15 * 10)
    ever = torch.stack(drawn).any(0)[0]
    assert not ever[[0, 3, 12, 13]].any()
    assert ever.sum() == 10


def test_a_short_row_hides_one_token_and_an_empty_one_none() -> None:
    batch = rows([[7, 7], [0, 0]], [[1, 1], [0, 0]])
    assert choose(batch.tokens, batch.documents, MASKING, generator()).sum(1).tolist() == [1, 0]


def test_hidden_tokens_become_the_mask_a_random_token_or_stay_80_10_10() -> None:
    tokens = torch.full((100, 1000), 7)
    shown = hide(tokens, torch.ones_like(tokens, dtype=torch.bool), MASKING, generator())
    is_mask, is_kept = (shown == MASK).float().mean(), (shown == 7).float().mean()
    # A random token is one of VOCAB: the mask and the token itself now and then.
    assert is_mask.item() == pytest.approx(0.8 + 0.1 / VOCAB, abs=0.005)
    assert is_kept.item() == pytest.approx(0.1 + 0.1 / VOCAB, abs=0.005)
    assert set(shown.unique().tolist()) == set(range(VOCAB))


def test_only_hidden_tokens_change_and_only_they_are_targets() -> None:
    batch = masked(rows(many().tolist()), MASKING, generator())
    hidden = batch.targets != IGNORE
    assert hidden.sum() == 600
    assert torch.equal(batch.targets[hidden], many()[hidden])
    assert torch.equal(batch.tokens[~hidden], many()[~hidden])


def test_whole_words_are_hidden_or_shown_whole() -> None:
    continues = torch.zeros(VOCAB, dtype=torch.bool)
    continues[20:] = True
    masking = Masking(mask_id=MASK, vocab_size=VOCAB, continues_word=continues)
    row = [5, 21, 22, 6, 7, 23, 8, 9, 24, 25]  # words: 5 21 22, 6, 7 23, 8, 9 24 25
    tokens = torch.tensor([row] * 400)
    hidden = choose(tokens, torch.ones_like(tokens), masking, generator())
    for word in ([0, 1, 2], [3], [4, 5], [6], [7, 8, 9]):
        part = hidden[:, word]
        assert (part.any(1) == part.all(1)).all()
        assert 0.1 < part.any(1).float().mean() < 0.45
    assert 1.5 < hidden.sum(1).float().mean() < 3.5  # 1.5 of 10 tokens, rounded up to whole words


def test_a_word_ends_with_its_document() -> None:
    continues = torch.ones(VOCAB, dtype=torch.bool)
    masking = Masking(mask_id=MASK, vocab_size=VOCAB, continues_word=continues)
    batch = rows([[7] * 6] * 60, [[1] * 3 + [2] * 3] * 60)
    hidden = choose(batch.tokens, batch.documents, masking, generator())
    assert {tuple(row) for row in hidden.tolist()} == {(True,) * 3 + (False,) * 3, (False,) * 3 + (True,) * 3}


def test_the_loss_is_that_of_the_hidden_tokens_alone() -> None:
    model = Toy(vocab=VOCAB)
    loss = masked_token(model, rows(many(2, 20).tolist()), masking=MASKING, generator=generator())
    assert loss.n_targets == 6
    assert loss.total.item() == pytest.approx(6 * math.log(VOCAB))


def test_it_is_drawn_anew_at_each_call_and_the_same_for_the_same_seed() -> None:
    batch = rows(many(2).tolist())

    def drawn(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)  # what the training loop does at each step
        return masked(batch, MASKING).tokens

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))
