"""Infilling: both orders by hand, shares, and packed documents."""

from __future__ import annotations

import math

import pytest
import torch

from luban.objectives.fill_in_the_middle import Infill, fill_in_the_middle, rearrange, rearranged
from luban.records import IGNORE
from tests.objectives.toys import Toy, generator, rows

PRE, SUF, MID, END = 99, 98, 97, 1
INFILL = Infill(prefix_id=PRE, suffix_id=SUF, middle_id=MID, end_id=END, share=1.0)


def test_prefix_suffix_middle() -> None:
    assert rearrange(([5], [6, 7], [8]), INFILL, "psm") == [PRE, 5, SUF, 8, MID, 6, 7]


def test_suffix_prefix_middle() -> None:
    assert rearrange(([5], [6, 7], [8]), INFILL, "spm") == [PRE, SUF, 8, MID, 5, 6, 7]


def restore(ids: list[int]) -> tuple[str, list[int]]:
    """Return the order and the text of a rearranged document."""
    suf, mid = ids.index(SUF), ids.index(MID)
    if suf == 1:
        return "spm", ids[mid + 1 : -1] + ids[suf + 1 : mid]
    return "psm", ids[1:suf] + ids[mid + 1 : -1] + ids[suf + 1 : mid]


def test_rearranged_documents_hold_the_same_text_in_both_orders() -> None:
    text, spare = list(range(10, 20)), [1] * 30  # room for the marks
    batch = rows([[*text, END, *spare]] * 200, [[1] * 11 + [0] * 30] * 200)
    made = rearranged(batch, INFILL, generator())
    orders = []
    for row in range(200):
        ids = made.tokens[row][made.documents[row] == 1].tolist()
        order, found = restore(ids)
        orders.append(order)
        assert ids[-1] == END
        assert found == text
    assert 0.4 < orders.count("spm") / 200 < 0.6


def test_every_place_may_be_a_cut() -> None:
    text = [10, 11, 12]
    made = rearranged(rows([[*text, END, 0, 0, 0]] * 300, [[1] * 4 + [0] * 3] * 300), INFILL, generator())
    lengths = {row.index(MID) - row.index(SUF) - 1 for row in made.tokens.tolist()}
    assert lengths == {0, 1, 2, 3}


def test_targets_are_the_next_tokens_of_the_same_document() -> None:
    batch = rows([list(range(10, 21)) + [END] + list(range(30, 42))], [[1] * 12 + [2] * 12])
    made = rearranged(batch, INFILL, generator())
    assert made.tokens.shape == made.documents.shape == made.targets.shape == (1, 24)
    inside = made.documents[:, 1:] == made.documents[:, :-1]
    assert torch.equal(made.targets[:, :-1][inside], made.tokens[:, 1:][inside])
    assert (made.targets[:, :-1][~inside] == IGNORE).all()
    assert made.targets[0, -1] != IGNORE  # marks made the row longer than the window


def test_a_document_that_fills_its_row_still_ends_its_middle() -> None:
    """Marks take four places; the far end of the suffix gives them up, then the beginning of the prefix."""
    text = list(range(10, 40))
    made = rearranged(rows([text] * 100), INFILL, generator())
    n_ended = 0
    for tokens, targets in zip(made.tokens.tolist(), made.targets.tolist(), strict=True):
        ids = [*tokens, targets[-1]]
        middle = ids[ids.index(MID) + 1 :]
        n_ended += middle[-1] == END
        _, found = restore(ids)
        assert "".join(map(chr, found[:20])) in "".join(map(chr, text))
    assert n_ended > 90  # but for middles that are the whole text


def test_documents_that_are_not_chosen_stay_as_they_are() -> None:
    batch = rows([[10, 11, 12, END]] * 400)
    none = Infill(prefix_id=PRE, suffix_id=SUF, middle_id=MID, end_id=END, share=0.0)
    made = rearranged(batch, none, generator())
    assert torch.equal(made.tokens, batch.tokens)
    assert made.targets[0].tolist() == [11, 12, END, IGNORE]
    half = Infill(prefix_id=PRE, suffix_id=SUF, middle_id=MID, end_id=END, share=0.5)
    assert 150 < (rearranged(batch, half, generator()).tokens[:, 0] == PRE).sum() < 250


def test_the_loss_is_that_of_every_next_token() -> None:
    loss = fill_in_the_middle(
        Toy(vocab=100), rows([[10, 11, 12, 13, END]]), infill=INFILL, generator=generator()
    )
    assert loss.n_targets == 5
    assert loss.total.item() == pytest.approx(5 * math.log(100))
