"""Rows of questions: columns, places of answers, parts that share no context, and what is set aside."""

import json

import pytest

from luban.errors import DataError
from luban.files import write_jsonl
from luban.tasks.qa_parts import read_questions
from luban.tasks.qa_rows import Questions, place, read_rows_of
from luban.tasks.qa_settings import QaColumns

TEXT = "北京在中国。上海也在中国。"


def row(number=0, context=None, answer="北京", start=None, **more):
    context = context or f"第{number}段：{TEXT}"
    start = context.find(answer) if start is None else start
    answers = {"text": [answer], "answer_start": [start]}
    return {"id": f"q{number}", "question": "首都在哪？", "context": context, "answers": answers, **more}


def read(tmp_path, rows, name="rows.jsonl"):
    write_jsonl(tmp_path / name, rows)
    found = Questions()
    return read_rows_of(tmp_path / name, QaColumns(), found), found


def parts(tmp_path, rows, **more):
    write_jsonl(tmp_path / "parts.jsonl", rows)
    return read_questions(tmp_path / "parts.jsonl", QaColumns(), **more)


@pytest.mark.parametrize(
    ("context", "text", "start", "want"),
    [
        ("a cat sat", "cat", 2, ((2, 5), False)),
        ("a cat sat", "cat", 0, ((2, 5), True)),  # wrong place, but it occurs once
        ("a cat, a cat", "cat", 99, (None, False)),  # twice, and the place tells nothing
        ("北京和北京", "北京", len("北京和".encode()), ((3, 5), True)),  # bytes of UTF-8
        ("😀cat cat", "cat", 6, ((5, 8), True)),  # UTF-16 units
        ("a cat", "dog", 0, (None, False)),
        ("a cat", "cat", None, ((2, 5), True)),
        ("a  cat", " cat", 1, ((3, 6), False)),
        ("a cat cat", "cat", -5, (None, False)),
    ],
)
def test_an_answer_is_put_where_it_stands(context, text, start, want):
    assert place(context, text, start) == want


def test_squads_nested_json_and_flat_rows_read_alike(tmp_path):
    qas = [{"id": "1", "question": "Where?", "answers": [{"text": "Beijing", "answer_start": 4}]}]
    qas.append({"id": "2", "question": "When?", "answers": [], "is_impossible": True})
    nested = {
        "version": "v2.0",
        "data": [{"title": "T", "paragraphs": [{"context": "In: Beijing", "qas": qas}]}],
    }
    (tmp_path / "squad.json").write_text(json.dumps(nested))
    found = read_rows_of(tmp_path / "squad.json", QaColumns(), Questions())
    assert [(r.id, r.spans, r.is_impossible, r.title) for r in found] == [
        ("1", ((4, 11),), False, "T"),
        ("2", (), True, "T"),
    ]
    flat = [{"id": r.id, "title": "T", "context": r.context, "question": r.question} for r in found]
    flat[0]["answers"] = {"text": ["Beijing"], "answer_start": [4]}
    flat[1]["answers"] = {"text": [], "answer_start": []}
    (tmp_path / "flat.json").write_text(json.dumps(flat))
    again = read_rows_of(tmp_path / "flat.json", QaColumns(), Questions())
    assert [(r.id, r.spans, r.texts) for r in again] == [(r.id, r.spans, r.texts) for r in found]


def test_chinese_column_names_and_tables_without_places_are_found(tmp_path):
    (tmp_path / "rows.csv").write_text("问题,原文,答案\n首都在哪？,北京是首都。,北京\n几号？,1.50元,1.50\n")
    found = read_rows_of(tmp_path / "rows.csv", QaColumns(), Questions())
    assert [(r.texts, r.spans) for r in found] == [(("北京",), ((0, 2),)), (("1.50",), ((0, 4),))]


def test_rows_that_cannot_be_used_are_set_aside_with_the_reason(tmp_path):
    bad = [
        row(1, context=" "),
        row(2) | {"question": ""},
        row(3) | {"question": None},
        row(4) | {"answers": None},
        row(5) | {"answers": {"text": ["北京"], "answer_start": [0, 1]}},
        row(6) | {"answers": {"text": ["北京"], "answer_start": ["there"]}},
        row(7) | {"answers": {"text": [None], "answer_start": [0]}},
        row(8) | {"context": 7},
    ]
    rows, found = read(tmp_path, [row(0), *bad])
    assert len(rows) == 1
    reasons = [r["reason"] for r in found.rejects]
    assert [r["line"] for r in found.rejects] == list(range(2, 10))
    assert "context is empty" in reasons[0]
    assert "question is empty" in reasons[1]
    assert "no question" in reasons[2]
    assert "no answers" in reasons[3]
    assert "1 texts and 2 places" in reasons[4]
    assert "whole number" in reasons[5]


def test_answers_that_do_not_occur_are_kept_from_training_but_still_judge(tmp_path):
    rows = [row(i, split=s) for i, s in enumerate(("train", "validation", "test"))]
    rows += [row(7, answer="东京", start=0, split="train"), row(8, answer="东京", start=0, split="test")]
    found = parts(tmp_path, rows)
    assert [r.id for r in found.train] == ["q0"]
    assert [r.id for r in found.test] == ["q2", "q8"]
    assert "does not stand in the context" in found.rejects[0]["reason"]
    assert any("set aside" in w for w in found.warnings)


def test_ids_that_repeat_are_told_apart_or_set_aside(tmp_path):
    rows, found = read(tmp_path, [row(1), row(1), row(1) | {"question": "别的？"}])
    assert [r.id for r in rows] == ["q1", "q1#2"]
    assert "were there before" in found.rejects[0]["reason"]
    assert any("stand for several questions" in w for w in found.warnings)


def test_no_context_and_no_title_is_in_two_parts(tmp_path):
    rows = [row(i, context=f"段{i % 40}：{TEXT}", title=f"题{i % 40 // 2}") for i in range(80)]
    rows = [r | {"id": str(i)} for i, r in enumerate(rows)]
    found = parts(tmp_path, rows)
    seen = {name: {r.title for r in found.part(name)} for name in ("train", "validation", "test")}
    assert all(seen.values())
    assert not seen["train"] & seen["validation"]
    assert not seen["train"] & seen["test"]
    again = parts(tmp_path, rows[::-1])
    assert {r.id for r in again.test} == {r.id for r in found.test}


def test_a_context_that_is_tested_is_taken_out_of_train(tmp_path):
    rows = [row(1, split="train"), row(2, split="train"), row(3, split="dev"), row(4, split="test")]
    rows.append(row(5, context=rows[3]["context"] + " ", split="train"))
    found = parts(tmp_path, rows)
    assert [r.id for r in found.train] == ["q1", "q2"]
    assert "its context is in test too" in found.rejects[0]["reason"]


def test_a_file_with_train_and_dev_has_its_dev_part_tested(tmp_path):
    rows = [row(i, split="train" if i < 20 else "dev") for i in range(24)]
    found = parts(tmp_path, rows)
    assert len(found.test) == 4
    assert found.validation
    assert len(found.train) + len(found.validation) == 20


def test_files_that_are_no_table_of_questions_say_what_to_do(tmp_path):
    write_jsonl(tmp_path / "labels.jsonl", [{"text": "a", "label": "b"}])
    with pytest.raises(DataError, match="known to hold the question"):
        read_questions(tmp_path / "labels.jsonl", QaColumns())
    with pytest.raises(DataError, match="no usable row"):
        parts(tmp_path, [row(1) | {"question": ""}])
    with pytest.raises(DataError, match="is not a table of questions"):
        read_questions(tmp_path / "missing.jsonl", QaColumns())
    with pytest.raises(DataError, match="too few to carve"):
        parts(tmp_path, [row(1)])
