"""Spans from tags, and their F1, as conlleval and seqeval count."""

import numpy as np
import pytest

from luban.evaluate.entities import entities_of, entity_scores, per_type_table

# Worked out by hand by the rules of conlleval: what ends a chunk, and what begins one.
CASES = [
    (["B-PER", "I-PER", "O", "B-LOC"], [(0, 2, "PER"), (3, 4, "LOC")]),
    (["I-PER", "I-PER", "O"], [(0, 2, "PER")]),  # no B
    (["B-PER", "B-PER"], [(0, 1, "PER"), (1, 2, "PER")]),
    (["B-PER", "I-LOC"], [(0, 1, "PER"), (1, 2, "LOC")]),  # another type
    (["B-PER", "E-PER", "S-LOC", "S-LOC"], [(0, 2, "PER"), (2, 3, "LOC"), (3, 4, "LOC")]),
    (["B-PER", "E-PER", "I-PER"], [(0, 2, "PER"), (2, 3, "PER")]),
    (["B-a-b", "L-a-b", "U-c"], [(0, 2, "a-b"), (2, 3, "c")]),
    (["NN", "NN", "VB"], [(0, 2, "NN"), (2, 3, "VB")]),  # types alone
    ([], []),
    (["O", "O"], []),
]


@pytest.mark.parametrize(("tags", "want"), CASES)
def test_tags_become_spans(tags, want):
    assert entities_of(tags) == want


def test_seqeval_finds_the_same_spans():
    scheme = pytest.importorskip("seqeval.metrics.sequence_labeling")
    rng = np.random.default_rng(0)
    for _ in range(50):
        tags = [str(t) for t in rng.choice(["O", "B-X", "I-X", "E-X", "S-X", "B-Y", "I-Y"], 12)]
        theirs = {(start, end + 1, kind) for kind, start, end in scheme.get_entities(tags)}
        assert set(entities_of(tags)) == theirs


def test_f1_by_hand():
    truth = [[(0, 2, "人名"), (3, 4, "地名")], [(0, 1, "人名")], []]
    guess = [[(0, 2, "人名"), (3, 5, "地名")], [], [(0, 1, "机构")]]
    rows = np.array([[0, 1, 2], [1, 1, 1]])
    scores = {name: list(v) for name, v in entity_scores(truth, guess)(rows).items()}
    assert scores["f1"] == pytest.approx([2 / 6, 0])  # 1 right of 3 guessed and 3 there
    assert scores["precision"] == pytest.approx([1 / 3, 0])
    assert scores["macro_f1"] == pytest.approx([(2 / 3 + 0 + 0) / 3, 0])
    assert per_type_table(truth, guess)["人名"]["recall"] == 0.5


def test_texts_without_any_span_score_nothing_rather_than_fail():
    assert entity_scores([[]], [[]])(np.array([[0]]))["f1"][0] == 0
