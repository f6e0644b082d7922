"""Rows with spans, or with tagged words, become a model folder that finds spans, exact to the character."""

import json

import numpy as np
import pytest

from luban.data.encoding import Unreadable
from luban.errors import DataError
from luban.files import read_jsonl, write_jsonl
from luban.log import Log
from luban.tasks.classify_settings import TagSettings
from luban.tasks.model_settings import ModelSettings
from luban.tasks.prepared import train_prepared
from luban.tasks.settings import ScoreSettings
from luban.tasks.tag import _windows, open_tagger, prepare
from luban.tasks.tag_rows import adapt, lay_out, spans_of
from luban.tasks.tag_score import score
from luban.tasks.task import open_predictor, task_of
from luban.tokenizer.train import train_bpe

BERT = ModelSettings(family="bert", size="tiny", dim=32, n_layers=1, n_heads=2, max_len=64, dropout=0.0)
QUIET = Log(quiet=True)
NAMES = ("鲁班", "Ada Lovelace", "王小明", "Bo")
PLACES = ("北京", "Paris", "鲁国")


def rows(n=60):
    made = []
    for i in range(n):
        name, place = NAMES[i % 4], PLACES[i // 4 % 3]
        text = f"{name}住在{place}，{i}号。" if i % 2 else f"Yes, {name} lives in {place} {i}."
        spans = [
            {"start": text.index(what), "end": text.index(what) + len(what), "type": kind}
            for what, kind in ((name, "PERSON"), (place, "PLACE"))
        ]
        split = ("train", "train", "train", "validation", "test")[i % 5]
        made.append({"text": text + " " * (i % 3), "spans": spans, "split": split})
    return made


def trained(tmp_path, table=None, **changes):
    data, out = tmp_path / "rows.jsonl", tmp_path / "out"
    write_jsonl(data, rows() if table is None else table)
    out.mkdir()
    usual = {"model": BERT, "steps": 60, "lr": 0.01, "vocab_size": 400, "threads": 1, "patience": 0}
    often = {"evaluate_every_steps": 30, "save_every_steps": 60}
    settings = TagSettings(**(usual | often | changes))
    facts = train_prepared(prepare(settings, {"data": data}, out, QUIET), out, QUIET)
    return data, out, facts


def test_spans_are_found_in_both_languages_and_scored(tmp_path):
    data, out, facts = trained(tmp_path)
    assert facts["best"]["f1"] > 0.9
    assert facts["inexact_spans"] == 0
    assert task_of(out).name == "tag"
    text = "Yes, 王小明 lives in Paris 7."
    found = open_predictor(out).predict([{"text": text}, {"text": ""}])
    assert [(s["text"], s["type"]) for s in found[0]["spans"]] == [("王小明", "PERSON"), ("Paris", "PLACE")]
    assert all(text[s["start"] : s["end"]] == s["text"] for s in found[0]["spans"])
    assert found[1]["spans"] == []
    scored = tmp_path / "scores"
    scored.mkdir()
    facts = score(ScoreSettings(resamples=20), out, data, scored, QUIET)
    assert facts["metrics"]["f1"]["value"] > 0.9
    assert facts["per_type"]["PLACE"]["support"] == 12
    assert next(iter(read_jsonl(scored / "predictions.jsonl")))["expected"]
    far = "Ada Lovelace住在北京。" * 40  # far over the model's 64 tokens
    long = open_tagger(out).find([far])[0]
    assert max(end for (_, end, _), _ in long) > len(far) - 20


def test_what_is_laid_out_comes_back_in_characters():
    texts = [" a 鲁班,  Ada's “x” 👍🏽 café\u0301 ", "ab" * 40, "北京Paris北京"]
    tokenizer = train_bpe(texts * 3, 300, template=False, han_alone=True)
    for text, units in zip(texts, lay_out(tokenizer, texts), strict=True):
        seen = [text[a:b] for a, b in units.places]
        assert all(piece.strip() == piece and piece for piece in seen)
        assert "".join(seen) == "".join(text.split())
        for i, (start, end) in enumerate(units.places):  # each unit on its own, and with its neighbour
            for stop in (end, units.places[min(i + 1, len(units.places) - 1)][1]):
                tags, n_inexact = units.tags([(start, stop, "X")])
                assert units.spans(tags) == [(start, stop, "X")]
                assert n_inexact == 0
    assert lay_out(tokenizer, ["北京Paris"])[0].places == [(0, 1), (1, 2), (2, 7)]


def test_a_span_inside_a_word_is_widened_and_counted():
    tokenizer = train_bpe(["carpenter"], 300, template=False)
    units = lay_out(tokenizer, ["a carpenter"])[0]
    tags, n_inexact = units.tags([(2, 5, "X")])
    assert (units.spans(tags), n_inexact) == ([(2, 11, "X")], 1)


def test_tagged_words_become_text_and_spans():
    row = adapt({"tokens": ["Ada", "in", "北", "京", "!"], "tags": ["B-P", "O", "B-L", "I-L", "O"]})
    assert row["text"] == "Ada in北京!"
    assert spans_of(row["spans"]) == [(0, 3, "P"), (6, 8, "L")]
    kinds = adapt({"words": ["a", "b", "c"], "tags": ["DET", "NOUN", "NOUN"]})
    assert spans_of(kinds["spans"]) == [(0, 1, "DET"), (2, 3, "NOUN"), (4, 5, "NOUN")]


def test_white_space_at_the_ends_of_a_text_moves_its_spans():
    row = adapt({"text": "  Ada x ", "entities": [[2, 6, "P"]]})
    assert (row["text"], json.loads(row["spans"])) == ("Ada x", [[0, 3, "P"]])


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"text": "ab", "spans": [{"start": 0, "end": 3, "type": "X"}]}, "not inside"),
        ({"text": "abc", "spans": [[0, 2, "X"], [1, 3, "Y"]]}, "overlap"),
        ({"text": "ab", "spans": [{"start": "0", "end": 1, "type": "X"}]}, "no {start, end, type}"),
        ({"text": "ab", "spans": [{"start": 0, "end": 1}]}, "no {start, end, type}"),
        ({"text": "a b", "spans": [[1, 2, "X"]]}, "white space"),
        ({"text": "ab", "spans": "x"}, "no list"),
        ({"text": None, "spans": []}, "no text"),
        ({"tokens": ["a", "b"], "tags": ["O"]}, "2 tokens have 1 tags"),
        ({"tokens": ["a"], "tags": [3]}, "no names"),
        ({"tokens": ["a", " "], "tags": ["O", "O"]}, "empty"),
        ({"text": "ab"}, "neither"),
    ],
)
def test_rows_that_cannot_be_used_say_why(row, reason):
    with pytest.raises(Unreadable, match=reason):
        adapt(row)


def test_no_span_in_training_is_an_error_and_a_bad_row_is_set_aside(tmp_path):
    bad = {"text": "Bo", "spans": [[0, 9, "PERSON"]], "split": "train"}
    with pytest.raises(DataError, match="none of"):
        trained(tmp_path, [*(r | {"spans": []} for r in rows()), bad])


@pytest.mark.parametrize(("n", "size"), [(0, 8), (5, 8), (8, 8), (9, 8), (30, 8), (31, 1)])
def test_windows_cover_every_token(n, size):
    covered = np.zeros(n, bool)
    for start, end in _windows(n, size):
        assert 0 < end - start <= size
        covered[start:end] = True
    assert covered.all()
