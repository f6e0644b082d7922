"""Labelled texts: rows, Label Studio's tasks, and spans that are not where they should be."""

from typing import Any

import pytest

from luban.data.convert.labels import read_labelled, read_task, write_labelled, write_spans, write_task
from luban.data.encoding import Unreadable
from tests.data.convert.conftest import Convert, rows_of

TEXT = "Ann 😀 works at 百度 in Rome."
SPANS = [
    {"start": 0, "end": 3, "type": "PER"},
    {"start": 15, "end": 17, "type": "ORG"},
    {"start": 21, "end": 25, "type": "LOC"},
]
RELATIONS = [{"head": 0, "tail": 1, "type": "works for"}]
ROW = {"text": TEXT, "label": "news", "spans": SPANS, "relations": RELATIONS, "note": {"by": 3}}


@pytest.mark.parametrize(
    "row",
    [
        ROW,
        {"text": TEXT, "label": ["a", "b"]},
        {"text": TEXT, "spans": SPANS, "id": 7},
        {"text": TEXT, "spans": SPANS, "id": "r7"},
        {"text": TEXT},
    ],
)
def test_rows_come_back_from_label_studios_tasks(row: Any) -> None:
    assert write_labelled(read_task(write_task(read_labelled(row)))) == row


def test_a_task_is_as_label_studio_exports_it() -> None:
    task = write_task(read_labelled({"text": TEXT, "spans": SPANS[1:2], "id": 7, "source": "x"}))
    assert task == {
        "id": 7,
        "data": {"text": TEXT, "source": "x"},
        "annotations": [
            {
                "result": [
                    {
                        "id": "s0", "from_name": "label", "to_name": "text", "type": "labels",
                        "value": {"start": 15, "end": 17, "text": "百度", "labels": ["ORG"]},
                    }
                ]
            }
        ],
    }  # fmt: skip
    assert write_task(read_labelled({"text": "x"}))["annotations"] == []


def result(label: str) -> dict[str, Any]:
    return {"result": [{"type": "choices", "value": {"choices": [label]}}]}


def test_the_first_annotation_that_counts_is_taken_and_others_are_kept() -> None:
    dropped = {**result("no"), "was_cancelled": True}
    task = {
        "data": {"text": "a"},
        "annotations": [dropped, result("yes"), result("may")],
        "predictions": [result("x")],
    }
    row = write_labelled(read_task(task))
    assert row == {"text": "a", "label": "yes", "other_annotations": [result("may")]}
    back = write_task(read_labelled(row))
    assert [a["result"][0]["value"]["choices"] for a in back["annotations"]] == [["yes"], ["may"]]


def test_a_prediction_stands_in_for_a_missing_annotation_and_is_marked() -> None:
    task = {"data": {"文本": "a"}, "annotations": [], "predictions": [{**result("x"), "score": 0.5}]}
    row = write_labelled(read_task(task))
    assert row == {"text": "a", "label": "x", "predicted": True}
    assert "predictions" in write_task(read_labelled(row))


def test_spans_that_count_in_utf16_as_javascript_does_are_put_right() -> None:
    value = {"start": 16, "end": 18, "text": "百度", "labels": ["ORG"]}
    task = {
        "data": {"text": TEXT},
        "annotations": [{"result": [{"id": "a", "type": "labels", "value": value}]}],
    }
    assert [(s.start, s.end) for s in read_task(task).spans] == [(15, 17)]
    value["text"] = "百事"
    with pytest.raises(Unreadable, match="the span 16-18 says '度 ', not '百事'"):
        read_task(task)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"spans": [{"start": 3, "end": 3, "type": "A"}]}, "the span 3-3 is not inside the text"),
        ({"spans": [{"start": -1, "end": 3, "type": "A"}]}, "the span -1-3 is not inside"),
        (
            {"spans": [{"start": 0, "end": 99, "type": "A"}]},
            "the span 0-99 is not inside the text of 26 characters",
        ),
        ({"spans": [{"start": 0.5, "end": 2, "type": "A"}]}, "start = 0.5 is no whole number"),
        ({"spans": [{"start": 0, "end": 2}]}, "a span's label = None is no text"),
        (
            {"spans": [{"start": 0, "end": 3, "type": "A", "text": "Bob"}]},
            "the span 0-3 says 'Ann', not 'Bob'",
        ),
        ({"spans": [3]}, "spans is no list of objects"),
        ({"spans": "Ann"}, "spans is no list of objects"),
        ({"relations": [{"head": 0, "tail": 3, "type": "x"}]}, "a relation joins no two of the 3 spans"),
        ({"label": {"a": 1}}, "the label = .* is no label"),
        ({"label": float("nan")}, "the label = nan is no label"),
        ({"text": 3}, "text = 3 is no text"),
        ({"text": " "}, "text is empty"),
        ({"tokens": [[0, 3], [2, 5]]}, "the token 2-5 is not inside the text"),
        ({"columns": {"pos": "N"}}, "columns holds no list"),
    ],
)
def test_a_row_that_contradicts_itself_is_refused_with_its_reason(changes: Any, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        read_labelled({**ROW, **changes})


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        ({"data": 3}, "a task has no data"),
        ({"data": {"image": "x.png"}}, "a task has no text in its data; it has: image"),
        (
            {"data": {"text": "a"}, "annotations": [{"result": [{"type": "rating"}]}]},
            "a result of the type rating",
        ),
        (
            {
                "data": {"text": "a"},
                "annotations": [{"result": [{"type": "relation", "from_id": "a", "to_id": "b"}]}],
            },
            "a relation joins a span that is not there",
        ),
    ],
)
def test_a_task_of_another_kind_is_refused_with_its_reason(task: Any, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        read_task(task)


def test_usual_names_of_columns_are_found_in_both_languages() -> None:
    assert write_labelled(read_labelled({"内容": "好", "类别": 1})) == {"text": "好", "label": 1}
    assert write_spans(
        read_labelled({"sentence": "a", "entities": [{"start": 0, "end": 1, "label": ["X"]}]})
    ) == {
        "text": "a",
        "spans": [{"start": 0, "end": 1, "type": "X"}],
    }


@pytest.mark.parametrize(
    ("to", "suffix"), [("label-studio", ".json"), ("spans", ".parquet"), ("spans", ".csv")]
)
def test_awkward_texts_keep_their_spans_through_files(to: str, suffix: str, go: Convert, texts: Any) -> None:
    rows = [
        {"text": text, "spans": [{"start": 0, "end": 1, "type": "A"}, {"start": len(text) - 1, "end": len(text), "type": "乙"}]}
        for text in texts(40)
    ]  # fmt: skip
    assert rows_of(go(go(rows, to, suffix), "spans", reads=to)) == rows
