"""Questions with answers: SQuAD both ways, and answers that do not stand where they should."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from luban.data.convert.questions import SquadWriter, read_question, write_question
from luban.data.encoding import Unreadable
from tests.data.convert.conftest import Convert, rejects_of, rows_of

CONTEXT = "Ann saw 😀 in 北京。"
ROW = {
    "id": "1",
    "title": "T",
    "context": CONTEXT,
    "question": "Where?",
    "answers": {"text": ["北京", "😀"], "answer_start": [13, 8]},
}
NONE: dict[str, Any] = {**ROW, "id": "2", "answers": {"text": [], "answer_start": []}}


@pytest.mark.parametrize("to", ["squad", "squad2"])
def test_rows_come_back_from_nested_json_in_their_order(to: str, go: Convert) -> None:
    rows = [ROW, {**ROW, "id": "3", "split": "dev"}, {**ROW, "id": "4", "title": "U"}, {**ROW, "id": "5"}]
    there = go(rows, to, ".json")
    nested = json.loads(there.read_text("utf-8"))
    assert [a["title"] for a in nested["data"]] == ["T", "U", "T"]
    assert len(nested["data"][0]["paragraphs"]) == 1
    assert nested["data"][0]["paragraphs"][0]["qas"][0]["answers"][0] == {"text": "北京", "answer_start": 13}
    assert rows_of(go(there, "qa")) == rows


def test_only_the_second_version_has_questions_without_an_answer(go: Convert) -> None:
    two = go([ROW, NONE], "squad2", ".json")
    qas = json.loads(two.read_text("utf-8"))["data"][0]["paragraphs"][0]["qas"]
    assert [q["is_impossible"] for q in qas] == [False, True]
    assert [r["answers"] for r in rows_of(go(two, "jsonl"))] == [ROW["answers"], NONE["answers"]]
    one = go([ROW, NONE], "squad", ".json")
    (reject,) = rejects_of(one)
    assert (reject["line"], reject["reason"]) == (
        2,
        "it has no answer, which SQuAD 1.1 does not allow: use squad2",
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"answers": {"text": ["北京"], "answer_start": [12]}}, "is not at 12, where the context says ' 北'"),
        ({"answers": {"text": ["北京"], "answer_start": [-2]}}, "is not at -2"),
        ({"answers": {"text": ["北京"], "answer_start": ["13"]}}, "answer_start = '13' is no whole number"),
        ({"answers": {"text": ["北京"], "answer_start": [13.5]}}, "is no whole number"),
        ({"answers": {"text": ["北京"], "answer_start": []}}, "not as many texts as places"),
        ({"answers": {"text": [""], "answer_start": [0]}}, "an answer = '' is no text"),
        ({"answers": None}, "no answers"),
        ({"answers": 3}, "answers is a int"),
        ({"is_impossible": True}, "is_impossible, yet there is an answer"),
        ({"context": None}, "no context"),
        ({"question": " "}, "question is empty"),
        ({"id": None}, "no id"),
    ],
)
def test_a_row_whose_parts_do_not_fit_is_refused_with_its_reason(changes: Any, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        read_question({**ROW, **changes})


def test_rows_with_squads_own_answers_are_read_too() -> None:
    answers = [{"text": "北京", "answer_start": 13.0}]
    assert read_question({**ROW, "answers": json.dumps(answers)}).answers == (("北京", 13),)
    assert write_question(read_question(ROW)) == ROW


def test_many_questions_of_one_article_are_written_before_they_fill_the_memory() -> None:
    file = io.StringIO()
    writer = SquadWriter(file, "1.1")
    for i in range(1001):
        writer.add({**ROW, "id": str(i)})
    assert file.tell() > 50_000
    writer.close()
    assert len(json.loads(file.getvalue())["data"]) == 2


def test_an_article_that_is_none_is_set_aside(go: Convert, tmp_path: Path) -> None:
    good = {
        "title": "T",
        "paragraphs": [{"context": CONTEXT, "qas": [{"id": "1", "question": "q", "answers": []}]}],
    }
    path = tmp_path / "s.json"
    path.write_text(json.dumps({"data": [{"title": "no"}, good, {"paragraphs": [{"context": "x"}]}]}))
    out = go(path, "qa", reads="squad2")
    assert len(rows_of(out)) == 1
    assert [r["reason"] for r in rejects_of(out)] == [
        "an article without a list of paragraphs",
        "a paragraph without a list of qas",
    ]
