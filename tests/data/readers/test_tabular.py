import json
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from luban.data.readers.tabular import text_column
from tests.data.readers.reading import read


def test_a_row_keeps_its_licence_language_time_and_chosen_columns(tmp_path: Path) -> None:
    row = {
        "id": "7",
        "text": "一",
        "license": "MIT",
        "lang": "zh-CN",
        "created_at": 1714521600,
        "n": 3,
        "tags": ["甲"],
    }
    (tmp_path / "a.jsonl").write_text(json.dumps(row))
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "b.parquet")
    pa.feather.write_feather(pa.Table.from_pylist([row]), tmp_path / "c.feather")
    (tmp_path / "d.json").write_text(json.dumps([row]))
    documents, rejects = read(tmp_path, carry=("n", "tags", "id", "absent"))
    assert rejects == []
    assert len(documents) == 4
    for d in documents:
        assert (d.licence, d.language, d.time) == ("MIT", "zh", "2024-05-01T00:00:00Z")
        assert d.extra == {"n": "3", "tags": '["甲"]', "source_id": "7"}
    everything, _ = read(tmp_path, carry=("*",))
    assert all(set(d.extra) == {"n", "tags", "source_id", "created_at"} for d in everything)


def test_text_that_is_no_text_is_rejected_by_row(tmp_path: Path) -> None:
    values: list[object] = ["good", None, float("nan"), ["list"], {"a": 1}, "", " \n", 5, "too"]
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps({"text": v}) for v in values))
    documents, rejects = read(tmp_path)
    assert [d.text for d in documents] == ["good", "too"]
    assert [(line, reason) for _, line, reason in rejects] == [
        (2, "the text is null"),
        (3, "the text is of type float"),
        (4, "the text is of type list"),
        (5, "the text is of type dict"),
        (6, "no text in it"),
        (7, "no text in it"),
        (8, "the text is of type int"),
    ]
    (tmp_path / "a.jsonl").unlink()
    pq.write_table(pa.table({"text": ["good", None]}), tmp_path / "b.parquet")
    documents, rejects = read(tmp_path)
    assert [d.text for d in documents] == ["good"]
    assert rejects == [("b.parquet", 2, "the text is null")]


def test_a_late_row_with_other_fields_and_a_table_with_other_columns_are_rejected(tmp_path: Path) -> None:
    rows = [{"text": f"row {i}"} for i in range(2000)] + [{"other": 1}, {"content": "found"}, {"text": "end"}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    pq.write_table(pa.table({"text": ["one"]}), tmp_path / "b.parquet")
    pq.write_table(pa.table({"n": [1]}), tmp_path / "c.parquet")
    documents, rejects = read(tmp_path)
    assert len(documents) == 2003
    assert rejects == [
        ("a.jsonl", 2001, "no field with text; it has: other"),
        ("c.parquet", None, "no text column among n; set text_column"),
    ]


def test_ids_of_the_input_do_not_collide(tmp_path: Path) -> None:
    row = json.dumps({"id": "same", "text": "one text"})
    (tmp_path / "a.jsonl").write_text(f"{row}\n{row}\n")
    (tmp_path / "b.jsonl").write_text(f"{row}\n")
    assert len({d.id for d in read(tmp_path)[0]}) == 3


def test_broken_tables_say_so(tmp_path: Path) -> None:
    table = pa.table({"text": [f"row {i} " * 50 for i in range(3000)]})
    pq.write_table(table, tmp_path / "a.parquet")
    whole = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(whole[: len(whole) // 2])
    middle = bytearray(whole)
    middle[100:4000] = bytes(3900)
    (tmp_path / "b.parquet").write_bytes(middle)
    with pa.ipc.new_file(tmp_path / "c.arrow", table.schema) as writer:
        writer.write_table(table)
    (tmp_path / "c.arrow").write_bytes((tmp_path / "c.arrow").read_bytes()[:5000])
    (tmp_path / "d.feather").write_bytes(b"nonsense")
    (tmp_path / "e.parquet").write_bytes(b"")
    documents, rejects = read(tmp_path)
    assert {file for file, _, _ in rejects} == {"a.parquet", "b.parquet", "c.arrow", "d.feather", "e.parquet"}
    assert all("broken" in reason or "no text" in reason for _, _, reason in rejects)


def test_csv_is_read_with_its_delimiter_quotes_and_line_ends(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes('n;文本\r\n1;"一行\r\n两行; 引号 ""x"""\r\n2;三\r\n'.encode("gb18030"))
    (tmp_path / "b.tsv").write_bytes("\ufefftext\tn\nfour\t4\nfive\n\nsix\t6\n".encode())
    (tmp_path / "c.csv").write_text('text,n\n"never closed,1\n' + "x,2\n" * 500)
    documents, rejects = read(tmp_path, max_line_bytes=1000)
    assert [d.text for d in documents][:4] == ['一行\r\n两行; 引号 "x"', "三", "four", "six"]
    assert rejects[0] == ("b.tsv", 3, "1 fields where the header has 2")
    assert rejects[1][0] == "c.csv"
    assert rejects[1][1] == 2
    assert "field larger than field limit" in rejects[1][2]
    assert len(documents) == 504


def test_a_quoted_field_of_many_lines_is_one_field(tmp_path: Path) -> None:
    verses = "\n".join(f"第{i}行" for i in range(500))
    (tmp_path / "a.csv").write_text(f'text,n\n"{verses}",1\n"never closed,2\nx,3\n', "utf-8")
    documents, rejects = read(tmp_path)
    assert [d.text for d in documents] == [verses, "x"]
    assert [(line, "never closed" in reason) for _, line, reason in rejects] == [(502, True)]


def test_transcripts_know_their_recordings_and_others_are_rejected(tmp_path: Path) -> None:
    rows = [{"file": "a.wav", "text": "你好"}, {"audio_filepath": "b.flac", "text": "hello"}]
    (tmp_path / "x.manifest.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for name in ("a.wav", "sub/b.flac", "c.wav"):
            archive.writestr(name, b"RIFF")
    (tmp_path / "loose.mp3").write_bytes(b"ID3")
    documents, rejects = read(tmp_path)
    assert [(d.text, d.extra["audio"]) for d in documents] == [
        ("你好", "x.zip/a.wav"),
        ("hello", "x.zip/b.flac"),
    ]
    assert [file for file, _, _ in rejects] == ["loose.mp3", "x.zip/c.wav"]
    inside = tmp_path / "inside"
    inside.mkdir()
    with zipfile.ZipFile(inside / "y.zip", "w") as archive:
        archive.writestr("a.wav", b"RIFF")
        archive.writestr("manifest.jsonl", json.dumps(rows[0]))
    documents, rejects = read(inside)
    assert [(d.text, d.extra) for d in documents] == [("你好", {"audio": "a.wav"})]
    assert rejects == []


@pytest.mark.parametrize(
    ("columns", "named", "found"),
    [
        (["n", "Text"], None, "Text"),
        (["body", "content"], None, "content"),
        (["编号", "正文"], None, "正文"),
        (["text", "x"], "x", "x"),
        (["text"], "x", None),
        (["a"], None, None),
    ],
)
def test_the_text_column_is_the_named_or_a_usual_one(
    columns: list[str], named: str | None, found: str | None
) -> None:
    assert text_column(columns, named) == found
