"""Texts of any length become rows that a model can take."""

import numpy as np
import pytest

from luban.tasks.decision import Decision
from luban.tasks.long_texts import template_around, text_rows, windows
from luban.tokenizer.train import train_bpe

TEXTS = ["a b", "一 二 三 四 五 " * 20, "", "x " * 100]


@pytest.fixture(scope="module")
def tokenizer():
    return train_bpe(TEXTS, 300, template=True)


def test_windows_overlap_cover_everything_and_keep_the_template():
    assert windows([9, 1, 2, 3, 4, 8], 4, 1, frame=(1, 1)) == [[9, 1, 2, 8], [9, 2, 3, 8], [9, 3, 4, 8]]
    assert windows([1, 2, 3], 3) == [[1, 2, 3]]
    ids = list(range(1, 100))
    for size, stride in ((10, 0), (10, 10), (7, 3), (98, 0)):
        made = windows(ids, size, stride)
        assert all(len(w) == size for w in made)
        assert sorted({i for w in made for i in w}) == ids


def test_a_text_is_cut_or_read_whole(tokenizer):
    cut = text_rows(tokenizer, TEXTS, 16, Decision())
    assert cut.n_texts == len(cut.ids) == 4
    assert cut.n_long == 2
    assert max(map(len, cut.ids)) == 16
    whole = text_rows(tokenizer, TEXTS, 16, Decision(window=16))
    assert whole.n_texts == 4
    assert len(whole.ids) > 4
    assert max(map(len, whole.ids)) == 16
    around = template_around(tokenizer)
    assert all(row[:1] == around.before and row[-1:] == around.after for row in whole.ids)
    np.testing.assert_allclose(np.bincount(whole.owners, whole.weights), 1)


def test_scores_of_windows_become_their_texts(tokenizer):
    rows = text_rows(tokenizer, TEXTS, 16, Decision(window=16))
    logits = np.random.default_rng(0).normal(size=(len(rows.ids), 3))
    for how, of in (("mean", np.mean), ("max", np.max)):
        by_hand = [of(logits[rows.owners == i], axis=0) for i in range(4)]
        np.testing.assert_allclose(rows.pooled(logits, how), by_hand)
