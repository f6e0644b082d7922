from dataclasses import replace

import numpy as np
import pytest
import torch

from luban.data.augment import Augmented, Tokens, change
from luban.data.batches import Bucketed
from luban.data.settings import AugmentSettings

PAD, CLS, SEP, MASK = 0, 1, 2, 3
TOKENS = Tokens(frozenset({PAD, CLS, SEP, MASK}), PAD, MASK, np.arange(200)[:, None] + 1)
ROW = np.array([CLS, *range(10, 90), SEP])


def changed(row=ROW, seed=0, **settings):
    return change(row, AugmentSettings(**settings), TOKENS, np.random.default_rng(seed))


@pytest.mark.parametrize("what", ["hide", "hide_spans", "replace", "swap", "insert", "delete"])
def test_special_tokens_stay_and_about_the_share_asked_for_is_changed(what):
    found = changed(**{what: 0.3})
    assert (found[0], found[-1]) == (CLS, SEP)
    common = [i for i in found if i in ROW[1:-1]] if what != "swap" else found[found == ROW]
    assert not np.array_equal(found, ROW)
    assert {
        "hide": lambda: 10 < (found == MASK).sum() < 40,
        "hide_spans": lambda: 10 < (found == MASK).sum() < 40,
        "replace": lambda: 10 < (found != ROW).sum() < 40,
        "swap": lambda: sorted(found) == sorted(ROW) and 20 < len(common) < 70,
        "insert": lambda: 90 < len(found) < 125 and set(found) == set(ROW),
        "delete": lambda: 40 < len(found) < 75 and list(found) == sorted(found[:-1]) + [SEP],
    }[what]()


def test_spans_are_hidden_in_one_piece():
    found = changed(hide_spans=0.2, span_length=8.0) == MASK
    n_spans = (found[1:] & ~found[:-1]).sum()
    assert found.sum() / n_spans > 2.5
    alone = changed(hide=0.2) == MASK
    assert alone.sum() / (alone[1:] & ~alone[:-1]).sum() < 2


def test_something_is_left_of_every_text():
    for seed in range(50):
        found = changed(np.array([CLS, 10, SEP]), seed, delete=0.9)
        assert list(found) == [CLS, 10, SEP]
        assert len(changed(np.array([10, 11]), seed, delete=0.9)) >= 1


def test_texts_of_special_tokens_alone_pass():
    row = np.array([CLS, SEP])
    for what in ("hide", "hide_spans", "replace", "swap", "insert", "delete"):
        assert list(changed(row, **{what: 0.9})) == [CLS, SEP]


def batches(n_micro_batches=1):
    rows = [[CLS, *range(10, 10 + 5 + i), SEP] for i in range(20)]
    return Bucketed(
        rows,
        [0] * 20,
        tokens_per_batch=96 // n_micro_batches,
        seed=1,
        n_micro_batches=n_micro_batches,
        pad_id=PAD,
    )


def by_id(parts):
    return {
        row: t[d > 0].tolist() for b in parts for row, t, d in zip(b.ids, b.tokens, b.documents, strict=True)
    }


def test_what_a_row_becomes_depends_on_seed_step_and_row_alone():
    settings = AugmentSettings(hide=0.3, delete=0.2)
    one, two = (Augmented(batches(n), settings, TOKENS, 7) for n in (1, 3))
    assert by_id(one.at(4)) == by_id(two.at(4))
    one.at(9)
    assert by_id(one.at(4)) == by_id(two.at(4))
    other = Augmented(batches(), settings, TOKENS, 8)
    assert by_id(other.at(4)) != by_id(one.at(4))


def test_a_row_is_read_differently_the_next_time():
    source = Augmented(batches(), AugmentSettings(hide=0.5), TOKENS, 7)
    read = {}
    for step in range(1, 3 * batches().steps_per_epoch + 1):
        for row, ids in by_id(source.at(step)).items():
            read.setdefault(row, set()).add(tuple(ids))
    assert all(len(kinds) > 1 for kinds in read.values())


def test_padding_follows_the_new_lengths():
    for batch in Augmented(batches(), AugmentSettings(insert=0.5, delete=0.3), TOKENS, 7).at(2):
        assert ((batch.tokens == PAD) == (batch.documents == 0)).all()
        assert (batch.documents[:, 0] == 1).all()
        assert (batch.documents > 0).any(0).all()


def test_nothing_asked_nothing_changed():
    plain = batches().at(3)
    for a, b in zip(plain, Augmented(batches(), AugmentSettings(), TOKENS, 7).at(3), strict=True):
        assert torch.equal(a.tokens, b.tokens)
        assert replace(a, tokens=b.tokens, documents=b.documents).ids == b.ids
