from pathlib import Path

import pytest

from luban.report.reading import Part, language_of, read_rows


def test_values_of_the_wrong_kind_are_left_out_and_noted_once() -> None:
    notes: list[str] = []
    part = Part({"loss": "low", "n": float("nan"), "names": 3, "on": "yes", "more": [1]}, "m.json", notes)
    for _ in range(2):
        assert part.number("loss") is None
        assert part.number("n") is None
        assert part.values("names") == []
        assert part.flag("on") is None
        assert part.part("more").data == {}
    assert len(notes) == 5
    assert 'm.json: loss is "low", not a number' in notes


def test_absent_values_are_no_fault() -> None:
    notes: list[str] = []
    part = Part({"loss": None}, "m.json", notes)
    assert part.number("loss") is None
    assert part.text("name", "none") == "none"
    assert part.parts("rows") == []
    assert not notes


def test_a_truth_value_is_not_a_number() -> None:
    assert Part({"n": True}, "m.json", []).number("n") is None


def test_broken_lines_are_counted_and_the_others_read(tmp_path: Path) -> None:
    path, notes = tmp_path / "metrics.jsonl", []
    path.write_bytes(b'{"step": 1}\n\xff\xfe{\n[1]\n\n{"step": 2}\n{"step": 3, "lo')
    assert [row.count("step") for row in read_rows(path, "metrics.jsonl", notes)] == [1, 2]
    assert notes == ["metrics.jsonl: 3 unreadable lines left out"]


def test_a_missing_file_has_no_rows(tmp_path: Path) -> None:
    assert list(read_rows(tmp_path / "none.jsonl", "none", [])) == []


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("这部电影 not bad", "zh"),
        ("it is the best of them", "en"),
        ("12 345", ""),
        ("", ""),
        ("Обломов лежал", ""),
    ],
)
def test_the_language_shows_in_the_text(text: str, language: str) -> None:
    assert language_of(text) == language
