import io
import json
from pathlib import Path

import pytest

from luban.data.encoding import Unreadable
from luban.data.readers.jsons import json_lines, json_values
from tests.data.readers.reading import read

ROWS = [{"text": f"第{i}行 line"} for i in range(50)]


def lines(data: bytes, max_bytes: int = 1000, span: tuple[int, int] | None = None) -> list[object]:
    return [row for _, _, row in json_lines(io.BytesIO(data), max_bytes, span)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32-le", "gb18030"])
def test_rows_are_read_in_any_encoding(encoding: str) -> None:
    data = "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS).encode(encoding)
    assert lines(data) == ROWS


def test_a_row_in_another_encoding_than_the_rest_is_read() -> None:
    data = '{"text": "红楼梦是中国古典小说"}\n'.encode() + '{"text": "另外一种编码的中文句子"}\n'.encode(
        "gb18030"
    )
    assert lines(data) == [{"text": "红楼梦是中国古典小说"}, {"text": "另外一种编码的中文句子"}]


def test_any_cut_into_ranges_gives_the_same_rows_at_the_same_places() -> None:
    data = b"\n\n" + b"\n".join(json.dumps(row).encode() for row in ROWS) + b"\n\n[1]"
    whole = [(place, row) for place, _, row in json_lines(io.BytesIO(data), 1000)]
    for size in (1, 7, 100, 333, len(data)):
        parts = []
        for start in range(0, len(data), size):
            span = (start, min(start + size, len(data)))
            parts += [(place, row) for place, _, row in json_lines(io.BytesIO(data), 1000, span)]
        assert [(p, str(r)) for p, r in parts] == [(p, str(r)) for p, r in whole]


def test_a_huge_line_is_passed_over_in_pieces_and_the_next_is_read() -> None:
    data = b'{"text": "a"}\n{"text": "' + b"x" * 5000 + b'"}\n{"text": "b"}\n'
    found = lines(data, max_bytes=100)
    assert (found[0], found[2]) == ({"text": "a"}, {"text": "b"})
    assert str(found[1]) == "a line of more than 0.0001 MB"
    places = [place for place, _, _ in json_lines(io.BytesIO(data), 100)]
    assert places == [0, 14, data.index(b'{"text": "b"}')]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"text": ', "broken JSON"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "nested too deeply"),
        ('{"a": ' + "1" * 5000 + "}", "broken JSON"),
        ("[1, 2]", "not an object: a list"),
        ("null", "not an object: a NoneType"),
        ("NaN", "not an object: a float"),
    ],
)
def test_a_bad_line_says_what_is_wrong(line: str, reason: str) -> None:
    good = '{"text": "good"}'
    found = lines(f"{good}\n{line}\n{good}\n".encode(), max_bytes=10_000_000)
    assert (found[0], found[2]) == ({"text": "good"}, {"text": "good"})
    assert isinstance(found[1], Unreadable)
    assert reason in str(found[1])


def test_halves_of_surrogate_pairs_are_replaced_and_whole_ones_joined() -> None:
    assert lines(b'{"text": "a\\ud800b \\ud83d\\ude00", "c": ["\\udfff"]}') == [
        {"text": "a\ufffdb 😀", "c": ["\ufffd"]}
    ]


def values(text: str, max_bytes: int = 10_000) -> list[object]:
    return [row for _, _, row in json_values(io.BytesIO(text.encode()), max_bytes)]


def test_arrays_single_objects_and_objects_in_a_row_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for block in (1, 3, 1 << 20):
        monkeypatch.setattr("luban.data.readers.jsons.JSON_BLOCK", block)
        assert values(json.dumps(ROWS, ensure_ascii=False)) == ROWS
        assert values(json.dumps(ROWS, indent=2)) == ROWS
        assert values("\n".join(map(json.dumps, ROWS))) == ROWS
        assert values(json.dumps({"version": 1, "data": ROWS})) == ROWS
        assert values(json.dumps(ROWS[0])) == ROWS[:1]
        assert values("[]") == values("") == []


def test_a_file_of_json_that_breaks_keeps_what_came_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("luban.data.readers.jsons.JSON_BLOCK", 256)
    (tmp_path / "a.json").write_text(json.dumps(ROWS)[:-200])
    (tmp_path / "b.json").write_text('[{"text": "x"}, 5, {"text": "y"}]')
    (tmp_path / "c.json").write_text("[" * 100_000)
    (tmp_path / "d.json").write_text('[{"text": "' + "x" * 9000 + '"}]')
    documents, rejects = read(tmp_path, max_line_bytes=2000)
    assert [d.text for d in documents if d.source == "b.json"] == ["x", "y"]
    assert len([d for d in documents if d.source == "a.json"]) > 30
    assert [(file, line) for file, line, _ in rejects] == [
        ("a.json", None),
        ("b.json", 2),
        ("c.json", None),
        ("d.json", None),
    ]
