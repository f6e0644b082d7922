"""The likelier of two sentences wins, and what is no pair is set aside."""

import pytest
import torch

from luban.evaluate.pairs import judge_pairs, read_pairs

ROWS = [
    {"uid": "x", "phenomenon": "agreement", "sentence_good": "Cats sleep.", "sentence_bad": "Cats sleeps."},
    {"uid": "x", "phenomenon": "measure", "sentence_good": "一本书", "sentence_bad": "一只书"},
]


def test_a_pair_is_right_if_the_good_sentence_has_more_probability(tiny_writer):
    model, tokenizer = tiny_writer
    rows, _ = judge_pairs(model, tokenizer, read_pairs(ROWS).pairs)
    for row, given in zip(rows, ROWS, strict=True):
        logs = []
        for text in (given["sentence_good"], given["sentence_bad"]):
            ids = [tokenizer.eos_id, *tokenizer.encode(text)]
            with torch.no_grad():
                scores = model(torch.tensor([ids[:-1]]))[0].log_softmax(-1)
            logs.append(scores[range(len(ids) - 1), ids[1:]].sum().item())
        assert row["log_probabilities"] == pytest.approx(logs, abs=1e-4)
        assert row["score"]["accuracy"] == float(logs[0] > logs[1])
    swapped = [{**r, "sentence_good": r["sentence_bad"], "sentence_bad": r["sentence_good"]} for r in ROWS]
    other, _ = judge_pairs(model, tokenizer, read_pairs(swapped).pairs)
    assert all(a["score"]["accuracy"] + b["score"]["accuracy"] == 1 for a, b in zip(rows, other, strict=True))


def test_rows_that_are_no_pairs_are_set_aside(tiny_writer):
    bad = [{"sentence_good": "A", "sentence_bad": None}, {"sentence_good": "A", "sentence_bad": "A "}, *ROWS]
    found = read_pairs(bad)
    assert [r["reason"] for r in found.rejects] == [
        "sentence_good or sentence_bad is no text",
        "both sentences are the same",
    ]
    assert len({pair.id for pair in found.pairs}) == 2
    long = read_pairs([{"sentence_good": "a b " * 200, "sentence_bad": "b a " * 200}])
    assert "and the model reads 64" in judge_pairs(*tiny_writer, long.pairs)[1][0]["reason"]
