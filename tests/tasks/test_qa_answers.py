"""The best span over all windows, against looking at every one; and what a folder answers."""

import numpy as np
import pytest
import torch

from luban.errors import CheckpointError, DataError
from luban.models.build import build_model
from luban.models.load import save_model
from luban.tasks.qa_answers import (
    Answer,
    Answerer,
    Asking,
    Candidate,
    _merged,
    best_spans,
    open_answerer,
    plain,
    read_asking,
    text_of,
    write_asking,
)
from luban.tasks.qa_rows import Asked
from luban.tasks.qa_windows import Shape, Window
from tests.tasks.test_qa_windows import config

SHAPE = Shape(max_len=24, overlap=6, max_question=4)


def window(n, offset=3, **more):
    places = [(2 * i, 2 * i + 2) for i in range(n)]
    usual = {"row": 0, "ids": [0] * (offset + n + 1), "segments": [], "offset": offset, "places": places}
    return Window(**usual | {"null": 0, "targets": ((0, 0),)} | more)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("answerer")
    tokenizer, made = config(han_alone=True)
    save_model(build_model(made, seed=1), out)
    tokenizer.save(out)
    write_asking(out, Asking(SHAPE, max_answer=5))
    return out


@pytest.mark.parametrize("width", [1, 3, 50])
def test_the_best_spans_are_those_that_looking_at_all_finds(width):
    scores = np.log(np.random.default_rng(width).dirichlet(np.ones(14), 2).T)
    w = window(10)
    found, null = best_spans(scores, w, width, 7)
    every = sorted(
        (
            (scores[3 + i, 0] + scores[3 + j, 1], 2 * i, 2 * j + 2)
            for i in range(10)
            for j in range(i, min(10, i + width))
        ),
        reverse=True,
    )
    assert [(c.start, c.end) for c in found] == [(a, b) for _, a, b in every[:7]]
    assert found[0].log_probability == pytest.approx(every[0][0])
    assert null == pytest.approx(scores[0].sum())


def test_a_span_neither_begins_nor_ends_at_a_token_that_says_nothing():
    scores = np.zeros((7, 2))
    w = window(3, places=[(0, 0), (0, 2), (2, 2)])
    found, _ = best_spans(scores, w, 9, 9)
    assert [(c.start, c.end) for c in found] == [(0, 2)]
    assert best_spans(scores, window(0, places=[]), 9, 9) == ([], 0.0)


def test_windows_of_one_text_answer_as_one(folder):
    """A text read in windows that hold it whole gives the same as one window."""
    answerer = open_(folder)
    short = Asked("1", "哪", "他在北京")
    long = Asked("2", "哪", "他在北京工作，" * 12)
    together = answerer.answer([long, short, long], 3)
    alone = answerer.answer([short], 3)[0]
    for a, b in zip(together[1].best, alone.best, strict=True):
        assert (a.start, a.end) == (b.start, b.end)
        assert a.log_probability == pytest.approx(b.log_probability, abs=1e-5)
    assert together[0].best[0].start == together[2].best[0].start
    spans = [(c.start, c.end) for c in together[0].best]
    assert len(set(spans)) == 3  # a span that two windows share counts once


def open_(folder):
    from luban.tasks.qa_answers import load_answerer

    return load_answerer(folder)


def test_a_span_that_two_windows_hold_counts_once():
    twice = [Candidate(2, 5, -1.0), Candidate(0, 1, -2.0), Candidate(2, 5, -3.0), Candidate(7, 8, -4.0)]
    assert _merged(twice, 3) == (twice[0], twice[1], twice[3])
    assert _merged(twice, 1) == (twice[0],)


def test_answers_are_cut_out_of_the_text_with_their_places_and_probability(folder):
    predictor = open_answerer(folder)
    context = "《红楼梦》 是曹雪芹写的。\n龘字很少见 – café 😀。"
    (said,) = predictor.predict([{"question": "谁写的？", "context": context, "n_best": 4}])
    assert said["answer"] == context[said["start"] : said["end"]] != ""
    assert 0 < said["score"] <= 1
    assert len(said["n_best"]) == 4
    assert said["n_best"][0]["answer"] == said["answer"]
    assert sum(c["score"] for c in said["n_best"]) <= 1
    assert "is_impossible" not in said
    assert predictor.predict([]) == []


@pytest.mark.parametrize(
    "bad", [{}, {"question": "x"}, {"question": "", "context": "y"}, {"question": 3, "context": "y"}]
)
def test_a_row_without_question_or_context_is_refused(folder, bad):
    with pytest.raises(DataError, match="row 1: "):
        open_answerer(folder).predict([bad])
    with pytest.raises(DataError, match="n_best"):
        open_answerer(folder).predict([{"question": "x", "context": "y", "n_best": 0}])


def test_no_answer_is_said_where_the_margin_is_below_the_threshold():
    row = Asked("1", "q", "a cat")
    answer = Answer((Candidate(2, 5, -1.0),), null=-1.5)
    assert text_of(row, answer, None) == text_of(row, answer, 0.4) == "cat"
    assert text_of(row, answer, 0.6) == ""
    said = plain(row, answer, 0.6)
    assert said["is_impossible"]
    assert said["start"] is None
    assert said["score"] == pytest.approx(np.exp(-1.5))
    assert plain(row, answer, 0.4)["is_impossible"] is False
    assert text_of(row, Answer((), 0.0), None) == ""


def test_how_a_model_is_asked_is_kept_with_it(tmp_path):
    asking = Asking(Shape(128, 32, 20, 3), max_answer=7, threshold=-0.25)
    write_asking(tmp_path, asking)
    assert read_asking(tmp_path) == asking
    (tmp_path / "answering.json").write_text('{"shape": {}}')
    with pytest.raises(CheckpointError, match="does not say how to ask"):
        read_asking(tmp_path)


def test_a_model_without_a_spans_head_says_what_to_do(tmp_path):
    from dataclasses import replace

    from luban.models.config import HeadConfig

    tokenizer, made = config()
    made = replace(made, head=HeadConfig(kind="none"))
    save_model(build_model(made, seed=1), tmp_path)
    tokenizer.save(tmp_path)
    with pytest.raises(CheckpointError, match="luban train --task qa"):
        open_answerer(tmp_path)


def test_answers_are_those_of_transformers_logits(folder):
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoModelForQuestionAnswering.from_pretrained(folder).eval()
    answerer = open_(folder)
    row = Asked("1", "哪", "他在北京")
    (w,) = answerer.encoder.windows([row])
    with torch.no_grad():
        out = theirs(input_ids=torch.tensor([w.ids]), token_type_ids=torch.tensor([w.segments]))
    scores = torch.stack([out.start_logits[0], out.end_logits[0]], -1).log_softmax(0).double().numpy()
    expected, _ = best_spans(scores, w, 5, 1)
    found = answerer.answer([row])[0].best[0]
    assert (found.start, found.end) == (expected[0].start, expected[0].end)
    assert found.log_probability == pytest.approx(expected[0].log_probability, abs=1e-4)


def test_an_answerer_reads_no_more_than_its_model_can(folder):
    answerer = open_(folder)
    wide = Answerer(answerer.model, answerer.tokenizer, Asking(Shape(10_000, 8, 8), 5))
    assert wide.asking.shape.max_len == answerer.model.config.max_len
