import csv
import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from luban.data.encoding import Unreadable
from luban.data.tables import TABLE_SUFFIXES, find_column, parquet_rows, read_rows
from luban.errors import DataError

ROWS = [{"text": f"第{i}行", "label": "x"} for i in range(700)]


def test_every_kind_of_table_gives_the_same_rows(tmp_path: Path) -> None:
    table = pa.Table.from_pylist(ROWS)
    pq.write_table(table, tmp_path / "a.parquet")
    pa.feather.write_feather(table, tmp_path / "a.feather")
    with pa.ipc.new_stream(tmp_path / "a.arrow", table.schema) as writer:
        writer.write_table(table)
    (tmp_path / "a.json").write_text(json.dumps(ROWS))
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    (tmp_path / "a.ndjson.gz").write_bytes(gzip.compress((tmp_path / "a.jsonl").read_bytes()))
    for suffix, delimiter in ((".csv", ","), (".tsv", "\t")):
        with (tmp_path / f"a{suffix}").open("w", newline="", encoding="utf-8") as f:
            writer = csv.DictWriter(f, ["text", "label"], delimiter=delimiter)
            writer.writeheader()
            writer.writerows(ROWS)
    paths = sorted(tmp_path.iterdir())
    assert len(paths) == len(TABLE_SUFFIXES)
    for path in paths:
        first = 2 if path.suffix in (".csv", ".tsv") else 1
        assert list(read_rows(path)) == list(enumerate(ROWS, start=first)), path


def test_columns_are_checked_before_the_first_row(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    (tmp_path / "b.csv").write_text("text,label\n一,x\n")

    def refuse(columns: object) -> None:
        raise Unreadable(f"has {columns}")

    for path in tmp_path.iterdir():
        with pytest.raises(Unreadable, match=r"has \['text', 'label'\]"):
            next(read_rows(path, refuse))


def test_row_groups_are_numbered_as_in_the_whole_file_and_columns_chosen(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet", row_group_size=100)
    path = tmp_path / "a.parquet"
    whole = list(parquet_rows(path, lambda columns: ["label"]))
    parts = [r for g in range(0, 7, 3) for r in parquet_rows(path, lambda c: ["label"], (g, min(g + 3, 7)))]
    assert parts == whole == [(n, {"label": "x"}) for n in range(1, 701)]


def test_text_that_is_no_utf8_in_a_parquet_file_is_read_with_its_faults_marked(tmp_path: Path) -> None:
    raw = pa.array([b"good", b"\xd6\xd0"], pa.binary())
    wrong = pa.StringArray.from_buffers(2, raw.buffers()[1], raw.buffers()[2])
    pq.write_table(pa.table({"text": wrong, "n": [1, 2]}), tmp_path / "a.parquet")
    rows = [row for _, row in read_rows(tmp_path / "a.parquet")]
    assert rows == [{"text": "good", "n": 1}, {"text": "\ufffd\ufffd", "n": 2}]


def test_a_column_is_the_one_named_or_a_usual_one() -> None:
    assert find_column(None, ("text", "body"), ["n", "Body"], "a") == "Body"
    assert find_column("n", ("text",), ["n"], "a") == "n"
    with pytest.raises(DataError, match="a has no column x; it has: n"):
        find_column("x", ("text",), ["n"], "a")


@pytest.mark.parametrize("tail", ["x{},1\n", '"第{}行",1\n', 'x{},"1"\n'])
def test_a_quote_that_is_not_closed_costs_its_own_line_only(tmp_path: Path, tail: str) -> None:
    rows = [tail.format(i) for i in range(300)]
    for place in (0, 10, 295):
        lines = [*rows[:place], '"never closed,1\n', *rows[place:]]
        (tmp_path / "a.csv").write_text("text,n\n" + "".join(lines))
        found = list(read_rows(tmp_path / "a.csv"))
        bad = [number for number, row in found if isinstance(row, Unreadable)]
        assert bad == [place + 2]
        assert len(found) == 301
        assert [number for number, _ in found] == list(range(2, 303))


def test_a_quoted_text_of_many_lines_is_one_row(tmp_path: Path) -> None:
    text = '第一行\nline, two; "said"\n\n' * 33
    with (tmp_path / "a.csv").open("w", newline="", encoding="utf-8") as f:
        csv.writer(f).writerows([["text", "n"], [text, "1"], ["next", "2"]])
    assert [row for _, row in read_rows(tmp_path / "a.csv")] == [
        {"text": text, "n": "1"},
        {"text": "next", "n": "2"},
    ]


def test_a_quote_that_is_data_in_a_tsv_file_is_kept(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text('text\tn\n"他说\t1\n' + "x\t2\n" * 200 + '"" b\t3\n5"\t4\n')
    rows = [row for _, row in read_rows(tmp_path / "a.tsv")]
    assert len(rows) == 203
    assert rows[0] == {"text": '"他说', "n": "1"}
    assert rows[-1] == {"text": '5"', "n": "4"}


def test_one_zero_byte_costs_its_own_line_only(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("text,n\n一行,1\nb\0c,2\nd,3\n".encode())
    (tmp_path / "a.jsonl").write_bytes('{"text": "一"}\n{"text": "b\0"}\n{"text": "c"}\n'.encode())
    for name, line in (("a.csv", 3), ("a.jsonl", 2)):
        found = list(read_rows(tmp_path / name))
        assert [number for number, row in found if isinstance(row, Unreadable)] == [line]
        assert len(found) == 3


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,text\na,b\n")
    with pytest.raises(Unreadable, match="two columns are called text"):
        list(read_rows(tmp_path / "a.csv"))


def test_bytes_in_a_parquet_file_are_text_where_they_are_utf8(tmp_path: Path) -> None:
    table = pa.table({"text": pa.array(["中文".encode(), None], pa.binary()), "image": [b"\xff\xd8", b"x"]})
    pq.write_table(table, tmp_path / "a.parquet")
    rows = [row for _, row in read_rows(tmp_path / "a.parquet")]
    assert rows == [{"text": "中文", "image": b"\xff\xd8"}, {"text": None, "image": b"x"}]
