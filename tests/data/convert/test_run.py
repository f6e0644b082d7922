"""Files converted as a whole: forms found, rows counted, rejects told, nothing left half done."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from luban.data.convert.formats import FORMATS, SHAPES, Form, shape_of, source_form
from luban.data.convert.run import convert, convert_stage
from luban.data.convert.settings import ConvertSettings
from luban.data.documents import read_documents, write_documents
from luban.data.examples import read_examples
from luban.errors import DataError, LubanError
from luban.files import read_jsonl, write_json, write_jsonl
from luban.log import Log
from luban.tasks.settings import ColumnSettings
from tests.data.convert.conftest import Convert, rejects_of, rows_of

TALK = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
MIXED = [
    {"a": 1, "b": "中", "c": [1, 2], "d": {"x": None, "y": "z"}, "e": True},
    {"a": 2, "b": "q\n,\"'", "c": [], "d": {"x": None, "y": "w"}, "e": False},
]


@pytest.mark.parametrize("suffix", [".json", ".parquet", ".jsonl.gz", ".json.gz"])
def test_rows_of_any_columns_come_back_from_typed_tables(suffix: str, go: Convert) -> None:
    to = suffix.split(".")[1]
    assert rows_of(go(go(MIXED, to, suffix), "jsonl")) == MIXED


@pytest.mark.parametrize("to", ["csv", "tsv"])
def test_csv_holds_text_lists_as_json_and_nothing_as_empty(to: str, go: Convert) -> None:
    back = rows_of(go([*MIXED, {"b": "only"}], to, f".{to}"))
    assert back[0] == {"a": "1", "b": "中", "c": "[1, 2]", "d": '{"x": null, "y": "z"}', "e": "true"}
    assert back[2] == {"a": "", "b": "only", "c": "", "d": "", "e": ""}
    assert [row["b"] for row in back] == ["中", "q\n,\"'", "only"]


def test_counts_in_are_counts_out_and_rejects_name_line_and_reason(tmp_path: Path) -> None:
    source, out = tmp_path / "a.jsonl", tmp_path / "b.parquet"
    lines = [json.dumps(TALK), "{broken", "[1]", "", json.dumps({"messages": []}), json.dumps({"x": 1})]
    source.write_text("\n".join(lines))
    facts = convert([source], out, ConvertSettings(to="openai"))
    assert facts["counts"] == {"rows_in": 5, "rows_out": 1, "rows_rejected": 4}
    found = rejects_of(out)
    assert [r["line"] for r in found] == [2, 3, 5, 6]
    assert found[0]["reason"].startswith("broken JSON")
    assert found[2]["reason"] == "messages is no list of turns"
    assert found[3]["file"] == "a.jsonl"


def test_a_row_of_another_type_late_in_the_file_is_set_aside(go: Convert) -> None:
    rows = [{"n": i} for i in range(2500)]
    rows[2400] = {"n": "late"}  # type: ignore[dict-item]
    out = go(rows, "parquet", ".parquet")
    assert len(rows_of(out)) == 2499
    assert [(r["line"], r["reason"]) for r in rejects_of(out)] == [
        (2401, "n = 'late' does not fit its column of 64-bit whole numbers")
    ]


def test_numbers_that_are_none_are_set_aside_from_json(go: Convert) -> None:
    out = go([{"a": 1.0}, {"a": float("nan")}], "json", ".json")
    assert rows_of(out) == [{"a": 1.0}]
    assert "NaN" in rejects_of(out)[0]["reason"]


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (
            [{"text": "a", "label": 1}, {"text": "b", "label": "x"}],
            "the label = 'x' is text, but the first is a number",
        ),
        ([{"text": "a", "label": "x"}, {"text": "b", "label": 0.5}], "is a number, but the first is text"),
        (
            [{"text": "a", "label": "x"}, {"text": "b", "label": True}],
            "is true or false, but the first is text",
        ),
    ],
)
def test_labels_of_mixed_types_are_set_aside(rows: Any, reason: str, go: Convert) -> None:
    out = go(rows, "text")
    assert len(rows_of(out)) == 1
    assert reason in rejects_of(out)[0]["reason"]


def test_labels_that_are_not_known_are_set_aside(go: Convert) -> None:
    spans = [{"start": 0, "end": 1, "type": "PERS"}]
    rows = [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}, {"text": "c", "spans": spans}]
    out = go(rows, "text", known=("x", "PER"))
    assert [r["reason"] for r in rejects_of(out)] == [
        "the label y is not among PER, x",
        "the label PERS is not among PER, x",
    ]


def test_a_plain_table_takes_rows_as_they_are_unless_their_form_is_named(go: Convert) -> None:
    rows = [{"instruction": "a", "output": "b"}, {"instruction": "", "output": ""}]
    assert rows_of(go(rows, "json", ".json")) == rows
    checked = go(rows, "json", ".json", reads="alpaca")
    assert len(rows_of(checked)) == 1
    assert len(rejects_of(checked)) == 1


@pytest.mark.parametrize(
    ("row", "shape"),
    [
        (TALK, "openai"),
        ({"messages": [{"role": "user", "content": "a"}], "chosen": "b", "rejected": "c"}, "messages"),
        ({"messages": [{"role": "tool_call", "content": "{}"}]}, "messages"),
        ({"conversations": [{"from": "human", "value": "a"}]}, "sharegpt"),
        ({"instruction": "a", "output": "b"}, "alpaca"),
        ({"prompt": "a", "chosen": "b", "rejected": "c"}, "alpaca"),
        ({"context": "a", "question": "b", "answers": {}}, "qa"),
        ({"data": {"text": "a"}, "annotations": []}, "label-studio"),
        ({"text": "a", "spans": []}, "spans"),
        ({"文本": "a", "标签": "b"}, "text"),
        ({"x": 1}, None),
    ],
)
def test_the_form_is_told_from_a_row(row: Any, shape: str | None) -> None:
    assert shape_of(row) == shape


def test_a_json_file_is_told_to_be_squad_or_a_list(tmp_path: Path) -> None:
    squad, tasks, one = tmp_path / "a.json", tmp_path / "b.json", tmp_path / "c.json"
    write_json(squad, {"version": "1.1", "data": [{"title": "", "paragraphs": []}]})
    write_json(tasks, [{"data": {"text": "a"}}])
    write_json(one, [{"conversations": [{"from": "human", "value": "a"}]}])
    assert source_form(squad, None) == Form("squad", "qa")
    assert source_form(tasks, None) == Form("json", "label-studio")
    assert source_form(one, None) == Form("json", "sharegpt")


def test_a_broken_json_list_is_an_error_that_says_where(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"a": 1}, {"a": ')
    with pytest.raises(DataError, match="broken JSON after row 1"):
        convert([tmp_path / "a.json"], tmp_path / "b.jsonl", ConvertSettings())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.json"]


def test_a_json_list_longer_than_a_chunk_is_read_a_part_at_a_time(tmp_path: Path) -> None:
    rows = [{"text": "中" * n} for n in (1, 70_000, 3, 200_000)] + [{"n": i} for i in range(9000)]
    (tmp_path / "a.json").write_text(json.dumps(rows, ensure_ascii=False, indent=2), encoding="utf-8")
    assert rows_of(tmp_path / "a.json") == rows


@pytest.mark.parametrize(
    ("rows", "settings", "out", "problem"),
    [
        ([TALK], {"to": "squad"}, "b.json", "the rows are conversations .openai.; squad holds questions"),
        ([{"x": 1}], {"to": "openai"}, "b.jsonl", "the rows are of no form that openai could be made from"),
        ([TALK], {"to": "opneai"}, "b.jsonl", "opneai is no format"),
        ([TALK], {"to": "parquet"}, "b.csv", "b.csv does not end as parquet does"),
        ([TALK], {"to": "openai"}, "b.txt", "nothing is known to write under this suffix"),
        ([TALK], {"to": "openai", "labels": ("a",)}, "b.jsonl", "are no texts that a label can be given to"),
        ([TALK], {"to": "openai", "labels": ("a", "b")}, "b.jsonl", "names 2 labels for 1 inputs"),
        (
            [{"messages": []}],
            {"to": "openai", "reads": "openai"},
            "b.jsonl",
            "no row could be converted; the first of 1",
        ),
        ([TALK], {"to": "documents"}, "b", "documents is a folder"),
        ([TALK], {"to": "jsonl"}, "a.jsonl", "is what is read"),
    ],
)
def test_what_cannot_be_is_an_error_and_leaves_nothing(
    rows: Any, settings: Any, out: str, problem: str, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "a.jsonl", rows)
    with pytest.raises(LubanError, match=problem):
        convert([tmp_path / "a.jsonl"], tmp_path / out, ConvertSettings(**settings))
    assert [p.name for p in tmp_path.iterdir()] == ["a.jsonl"]
    assert list(read_jsonl(tmp_path / "a.jsonl")) == rows


def test_an_interrupted_conversion_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"a": 1}])
    (tmp_path / "b.jsonl").write_text("old")

    def stop(row: Any) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("luban.data.convert.files.json_of", stop)
    with pytest.raises(KeyboardInterrupt):
        convert([tmp_path / "a.jsonl"], tmp_path / "b.jsonl", ConvertSettings())
    assert (tmp_path / "b.jsonl").read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.jsonl", "b.jsonl"]


def documents(folder: Path, *texts: str) -> Path:
    folder.mkdir()
    rows = (
        {"id": t[:2], "text": t, "source": "s", "licence": "MIT", "language": "en", "time": "", "n": 1}
        for t in texts
    )
    write_documents(folder, rows)
    return folder


def test_documents_go_out_to_plain_tables_and_come_back(go: Convert, tmp_path: Path) -> None:
    folder = documents(tmp_path / "docs", "one", "二")
    for to in ("jsonl", "csv", "parquet", "json"):
        table = go(folder, to, f".{to}")
        assert [row["text"] for row in rows_of(table)] == ["one", "二"]
        out = tmp_path / f"{to}-back"
        out.mkdir()
        convert_stage(ConvertSettings(to="documents"), {"data": table}, out, Log())
        back = list(read_documents(out))
        assert [{**row, "n": int(row["n"])} for row in back] == list(read_documents(folder))


def test_two_folders_become_the_rows_a_classifier_learns_from(tmp_path: Path) -> None:
    good = documents(tmp_path / "good", *(f"good text {i} is fine" for i in range(12)))
    bad = documents(tmp_path / "bad", *(f"垃圾 {i} 广告" for i in range(12)))
    out = tmp_path / "rows"
    out.mkdir()
    facts = convert_stage(ConvertSettings(labels=("good", "bad")), {"data": good, "data:2": bad}, out, Log())
    assert facts["counts"] == {"rows_in": 24, "rows_out": 24, "rows_rejected": 0}
    (out / "manifest.json").write_text("{}")
    assert sorted(read_examples(out, ColumnSettings()).labels) == ["bad", "good"]


def test_every_format_names_a_shape_and_says_what_it_loses() -> None:
    assert {f.shape for f in FORMATS.values() if f.shape} == set(SHAPES)
    assert all(f.lost for f in FORMATS.values())


def test_a_broken_gzip_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    packed = gzip.compress(json.dumps(TALK).encode() * 50)
    (tmp_path / "a.jsonl.gz").write_bytes(packed[:-20])
    with pytest.raises(DataError, match=r"a.jsonl.gz"):
        convert([tmp_path / "a.jsonl.gz"], tmp_path / "b.jsonl", ConvertSettings())
    assert [p.name for p in tmp_path.iterdir()] == ["a.jsonl.gz"]


@pytest.mark.parametrize("to", ["csv", "tsv", "parquet", "json", "jsonl"])
def test_rows_of_one_table_go_to_another_as_they_are(to: str, go: Convert) -> None:
    rows = [
        {"内容": "一", "label": "", "n": "1", "text": ""},
        {"内容": "", "label": "x", "n": "2", "text": "two"},
        {"内容": "", "label": "", "n": "", "text": ""},
    ]
    out = go(rows, to, f".{to}", reads="jsonl")
    back = rows_of(go(out, "jsonl", reads=to))
    assert back == rows
    assert [list(row) for row in back] == [list(row) for row in rows]
    assert rejects_of(out) == []


def test_half_a_character_is_set_aside_and_not_changed(tmp_path: Path) -> None:
    source, out = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    source.write_text('{"a": "x\\ud83d"}\n{"a": "\\ud83d\\ude00"}\n')
    convert([source], out, ConvertSettings(to="jsonl"))
    assert rows_of(out) == [{"a": "😀"}]
    assert [(r["line"], r["reason"]) for r in rejects_of(out)] == [
        (1, "it holds half a character (a lone surrogate)")
    ]
