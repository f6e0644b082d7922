"""Pairs of a table or of parallel files: columns found, bad rows set aside, splits without leaks."""

import json

import pytest

from luban.errors import DataError
from luban.files import write_jsonl
from luban.tasks.translate_rows import read_all_pairs, read_pairs, why_not
from luban.tasks.translate_settings import PairColumns

USUAL = PairColumns()


def table(tmp_path, rows, name="pairs.jsonl"):
    write_jsonl(tmp_path / name, rows)
    return tmp_path / name


def numbered(n=40, **more):
    return [{"source": f"sentence {i}", "target": f"句子 {i}", **more} for i in range(n)]


@pytest.mark.parametrize(
    ("row", "columns"),
    [
        ({"source": "a cat", "target": "eine Katze"}, USUAL),
        ({"src": "a cat", "tgt": "eine Katze"}, USUAL),
        ({"en": "a cat", "de": "eine Katze"}, USUAL),
        ({"原文": "a cat", "译文": "eine Katze"}, USUAL),
        ({"translation": {"en": "a cat", "de": "eine Katze"}}, USUAL),
        ({"x": "a cat", "y": "eine Katze"}, PairColumns(source="x", target="y")),
        ({"de": "eine Katze", "en": "a cat"}, PairColumns(source="en")),
        ({"id": "1", "English": "a cat", "German": "eine Katze"}, USUAL),
    ],
)
def test_columns_are_found_by_their_usual_names(tmp_path, row, columns):
    ((pair, split),), rejects = read_all_pairs(table(tmp_path, [row]), columns)
    assert (pair.source, pair.target, split, rejects) == ("a cat", "eine Katze", None, [])


def test_csv_tsv_and_parallel_files_give_the_same_pairs(tmp_path):
    (tmp_path / "a.csv").write_text("en,zh\nI came.,我来了。\nI left.,我走了。\n", "utf-8")
    (tmp_path / "a.tsv").write_text("en\tzh\nI came.\t我来了。\nI left.\t我走了。\n", "utf-8")
    (tmp_path / "text.en").write_text("I came.\nI left.\n", "utf-8")
    (tmp_path / "text.zh").write_text("我来了。\n我走了。\n", "utf-8")
    for name in ("a.csv", "a.tsv", "text.en"):
        rows, _ = read_all_pairs(tmp_path / name, USUAL)
        assert [(p.source, p.target) for p, _ in rows] == [("I came.", "我来了。"), ("I left.", "我走了。")]
    turned, _ = read_all_pairs(tmp_path / "text.zh", USUAL)
    assert turned[0][0].target == "I came."


def test_parallel_files_must_be_two_and_of_as_many_lines(tmp_path):
    (tmp_path / "text.en").write_text("a\nb\n", "utf-8")
    with pytest.raises(DataError, match="no file holds translations"):
        read_all_pairs(tmp_path / "text.en", USUAL)
    (tmp_path / "text.de").write_text("x\n", "utf-8")
    with pytest.raises(DataError, match=r"text.de ends after line 1"):
        read_all_pairs(tmp_path / "text.en", USUAL)


def test_what_is_no_translation_is_set_aside_with_its_reason(tmp_path):
    bad = [
        {"source": "", "target": "x"},
        {"source": "x", "target": None},
        {"source": "same", "target": "same "},
        {"source": "short", "target": "很" * 50},
        {"source": 3, "target": "x"},
        {"source": "x", "target": ["x"]},
    ]
    path = table(tmp_path, [*numbered(3), *bad])
    path.write_text(path.read_text("utf-8") + "{broken\n", "utf-8")
    rows, rejects = read_all_pairs(path, USUAL)
    assert len(rows) == 3
    reasons = [r["reason"] for r in rejects]
    assert reasons[:4] == [
        "no source",
        "no target",
        "source and target are the same",
        "one side is 30 times longer than the other",
    ]
    assert "source = 3 is no text" in reasons[4]
    assert len(rejects) == 7
    assert [r["line"] for r in rejects] == [4, 5, 6, 7, 8, 9, 10]


def test_chinese_is_as_long_as_the_english_that_says_the_same():
    assert (
        why_not("I have never been to such a beautiful place before in my life", "我从来没去过这么美的地方")
        == ""
    )
    assert why_not("Go.", "我从来没去过这么美的地方呢。") != ""


def test_the_direction_is_turned_and_alternatives_become_sources(tmp_path):
    rows = [r | {"alternatives": ["Satz", 5, "Satz"]} for r in numbered(30)]
    pairs = read_pairs(table(tmp_path, rows), USUAL, reverse=True)
    pair = pairs.train[0]
    assert pair.source.startswith("句子")
    assert pair.other_sources == ("Satz",)
    assert pair.references == (pair.target,)


def test_no_source_is_in_two_parts_and_carving_does_not_mind_the_order(tmp_path):
    rows = [*numbered(60), *[{"source": f"Sentence {i}", "target": f"又 {i}"} for i in range(60)]]
    one = read_pairs(table(tmp_path, rows), USUAL)
    other = read_pairs(table(tmp_path, rows[::-1], "other.jsonl"), USUAL)
    parts = [{p.source.casefold() for p in one.part(name)} for name in ("train", "validation", "test")]
    assert all(parts)
    assert sum(map(len, parts)) == len(set.union(*parts))
    assert {p.source.casefold() for p in other.test} == parts[2]


def test_marked_parts_are_followed_and_leaks_taken_out_of_train(tmp_path):
    rows = [r | {"split": "dev" if i < 5 else "train"} for i, r in enumerate(numbered(60))]
    rows.append({"source": "SENTENCE 2", "target": "句", "split": "train"})
    pairs = read_pairs(table(tmp_path, rows), USUAL)
    assert sorted(p.source for p in pairs.test) == [f"sentence {i}" for i in range(5)]
    assert any("dev part is tested" in text for text in pairs.warnings)
    assert [r["reason"] for r in pairs.rejects] == ["the same source is in test"]


def test_tables_without_pairs_say_what_they_have(tmp_path):
    with pytest.raises(DataError, match="no column known to hold the source; it has: text, label"):
        read_pairs(table(tmp_path, [{"text": "a", "label": "b"}]), USUAL)
    with pytest.raises(DataError, match="has no usable pair"):
        read_pairs(table(tmp_path, [{"source": "", "target": ""}]), USUAL)
    with pytest.raises(DataError, match="has no column fr"):
        read_pairs(table(tmp_path, numbered(3)), PairColumns(source="fr"))
    with pytest.raises(DataError, match="not a file of pairs"):
        read_pairs(tmp_path / "missing.jsonl", USUAL)
    (tmp_path / "odd.jsonl").write_text(json.dumps({"source": "a", "target": "b", "split": "nowhere"}) + "\n")
    with pytest.raises(DataError, match="is no split"):
        read_pairs(tmp_path / "odd.jsonl", USUAL)
