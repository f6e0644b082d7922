import gzip
import json
import os
import pickle
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from luban.data.documents import row_of, write_documents
from luban.data.readers.plain import cut_text
from luban.data.settings import ReadSettings
from luban.data.sources import is_html, is_page, list_sources, read_sources, source_title, split_units
from luban.errors import ConfigError, DataError
from luban.files import Manifest, write_json
from luban.records import Document

Rejects = list[tuple[str, int | None, str]]


def read(*roots: Path, **changes: Any) -> tuple[list[Document], Rejects]:
    rejects: Rejects = []
    settings = ReadSettings(licence="CC0-1.0", **changes)
    documents = read_sources(
        list_sources(roots, settings),
        lambda file, line, reason: rejects.append((file, line, reason)),
        settings,
    )
    return list(documents), rejects


def test_every_kind_of_file_becomes_documents_with_an_origin(tmp_path: Path) -> None:
    (tmp_path / "sub" / "deeper").mkdir(parents=True)
    (tmp_path / "a.txt").write_text("a plain text")
    (tmp_path / "b.md").write_text("# a heading")
    (tmp_path / "sub" / "c.txt.gz").write_bytes(gzip.compress("压缩的文本".encode()))
    (tmp_path / "sub" / "d.jsonl").write_text('{"text": "one"}\n\n{"text": "two"}\n')
    (tmp_path / "sub" / "e.jsonl.gz").write_bytes(gzip.compress(b'{"content": "three"}\n'))
    (tmp_path / "sub" / "f.csv").write_text("id,Text\n1,four\n")
    (tmp_path / "sub" / "g.tsv.gz").write_bytes(gzip.compress("编号\t文本\n1\t五\n".encode()))
    pq.write_table(pa.table({"text": ["six", "seven"]}), tmp_path / "sub" / "h.parquet")
    (tmp_path / "sub" / "deeper" / "i.HTML").write_text("<p>eight</p>")
    documents, rejects = read(tmp_path)
    assert rejects == []
    assert [(d.source, d.text) for d in documents] == [
        ("a.txt", "a plain text"),
        ("b.md", "# a heading"),
        ("sub/c.txt.gz", "压缩的文本"),
        ("sub/d.jsonl", "one"),
        ("sub/d.jsonl", "two"),
        ("sub/deeper/i.HTML", "<p>eight</p>"),
        ("sub/e.jsonl.gz", "three"),
        ("sub/f.csv", "four"),
        ("sub/g.tsv.gz", "五"),
        ("sub/h.parquet", "six"),
        ("sub/h.parquet", "seven"),
    ]
    assert len({d.id for d in documents}) == len(documents)
    assert {d.licence for d in documents} == {"CC0-1.0"}


def test_ids_depend_on_source_and_place_only(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        (folder / "a.jsonl").write_text('{"text": "one"}\n{"text": "one"}\n')
    here, there = read(first)[0], read(second)[0]
    assert [d.id for d in here] == [d.id for d in there]
    assert here[0].id != here[1].id


def test_what_cannot_be_read_is_rejected_with_its_place_and_the_rest_goes_on(tmp_path: Path) -> None:
    whole = gzip.compress(b"some text that will be cut short " * 50)
    (tmp_path / "a-broken.txt.gz").write_bytes(whole[:30])
    (tmp_path / "b-plain.txt.gz").write_bytes(b"not gzip at all")
    (tmp_path / "c-binary.txt").write_bytes(b"\x89PNG\x00\x00\x01")
    (tmp_path / "d.jsonl").write_text(
        '{"text": "kept"}\n{"text": "cut\n[1]\n{"other": 1}\n{"text": 5}\n{"text": "too"}\n'
    )
    (tmp_path / "e-fields.csv").write_text("text,n\nfine,1\nbroken\n")
    (tmp_path / "f-columns.csv").write_text("a,b\n1,2\n")
    (tmp_path / "g.parquet").write_bytes(b"PAR1 no")
    (tmp_path / "h.png").write_bytes(b"x")
    documents, rejects = read(tmp_path)
    assert [d.text for d in documents] == ["kept", "too", "fine"]
    where = [(file, line) for file, line, _ in rejects]
    assert where == [
        ("a-broken.txt.gz", None),
        ("b-plain.txt.gz", None),
        ("c-binary.txt", None),
        *(("d.jsonl", line) for line in (2, 3, 4, 5)),
        ("e-fields.csv", 3),
        ("f-columns.csv", None),
        ("g.parquet", None),
        ("h.png", None),
    ]
    reasons = [reason for _, _, reason in rejects]
    assert reasons[0].startswith("broken gzip")
    assert reasons[2].startswith("not text")
    assert reasons[4] == "not an object: a list"
    assert reasons[5] == "no field with text; it has: other"
    assert reasons[6] == "the text is of type int"
    assert reasons[7] == "1 fields where the header has 2"
    assert reasons[8] == "no text column among a, b; set text_column"
    assert reasons[10] == "no reader for .png"


def test_a_named_column_that_is_not_there_rejects_the_file_with_its_columns(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("title,words\nx,y\n")
    assert [d.text for d in read(tmp_path, text_column="words")[0]] == ["y"]
    documents, rejects = read(tmp_path, text_column="body")
    assert not documents
    assert rejects == [("a.csv", None, "no column body; it has: title, words")]


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / ".hidden").write_text("x")
    with pytest.raises(DataError, match="holds no files"):
        list_sources([tmp_path])


def test_sources_yaml_gives_licence_name_and_language_by_pattern(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("a.txt", "b.txt", "sub/c.txt", "sub/d.txt"):
        (tmp_path / name).write_text(name)
    (tmp_path / "SOURCES.yaml").write_text(
        '"a*": {licence: MIT, source: An A}\n"sub/*": {licence: far}\n', encoding="utf-8"
    )
    (tmp_path / "sub" / "SOURCES.yaml").write_text('"c.*": {licence: near, language: zh}\n')
    documents, _ = read(tmp_path)
    assert [(d.source, d.licence, d.language) for d in documents] == [
        ("a.txt", "MIT", "und"),
        ("b.txt", "CC0-1.0", "und"),
        ("sub/c.txt", "near", "zh"),
        ("sub/d.txt", "far", "und"),
    ]
    assert list_sources([tmp_path])[0].title == "An A"


def test_a_wrong_key_in_sources_yaml_names_the_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "SOURCES.yaml").write_text('"*":\n  license: MIT\n')
    with pytest.raises(ConfigError, match=r"SOURCES\.yaml:2: unknown setting"):
        list_sources([tmp_path])


def test_rows_may_carry_their_own_licence_and_language(tmp_path: Path) -> None:
    row = {"text": "x", "license": "MIT", "lang": "de"}
    (tmp_path / "a.jsonl").write_text(json.dumps(row))
    (document,), _ = read(tmp_path)
    assert (document.licence, document.language) == ("MIT", "de")


def test_several_roots_keep_their_sources_apart(tmp_path: Path) -> None:
    for folder in ("x/raw", "y/raw", "z"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.txt").write_text(folder)
    documents, _ = read(tmp_path / "x/raw", tmp_path / "y/raw", tmp_path / "z")
    assert [d.source for d in documents] == ["raw-1/a.txt", "raw-2/a.txt", "z/a.txt"]
    assert len({d.id for d in documents}) == 3


@pytest.mark.parametrize(
    ("text", "max_chars"),
    [
        ("para one.\n\npara two is longer.\n\npara three.\n" * 9, 70),
        ("一行没有空行的长文本。\n" * 40, 50),
        ("no line break at all, only sentences. " * 30, 80),
        ("x" * 500, 64),
        ("unspaced" * 20 + "\n\n" + "y " * 100, 30),
    ],
)
def test_a_long_text_is_cut_into_pieces_that_make_it_up_again(
    tmp_path: Path, text: str, max_chars: int
) -> None:
    blocks = [text[i : i + 37] for i in range(0, len(text), 37)]
    pieces = list(cut_text(blocks, max_chars))
    assert pieces == list(cut_text([text], max_chars))
    assert "".join(pieces).strip() == text.strip()
    assert max(map(len, pieces)) <= max_chars
    assert len(pieces) < 4 * len(text) / max_chars


def test_a_cut_falls_between_paragraphs_where_there_are_some() -> None:
    paragraph = "A paragraph of two lines,\nthe second one.\n\n"
    assert all(p.startswith("A paragraph") for p in cut_text([paragraph * 10], 120))


def test_pages_of_a_folder_share_a_title() -> None:
    assert source_title("a/b.html.gz") == "a/*.html.gz"
    assert source_title("a/b.v2.html") == "a/*.html"
    assert source_title("a/b.txt") == "a/b.txt"
    assert is_html("a/b.HTM")
    assert not is_html("a/b.txt.gz")


@pytest.mark.parametrize("size", [50, 200, 1000, 10**9])
def test_units_read_one_after_the_other_are_the_whole(tmp_path: Path, size: int) -> None:
    rows = [json.dumps({"text": f"第{i}行", "n": i}) for i in range(40)]
    rows[11], rows[37] = "broken", '{"other": 1}'
    (tmp_path / "a.jsonl").write_text("\n".join(rows) + "\n")
    (tmp_path / "b.txt").write_text("small")
    (tmp_path / "c.jsonl").write_bytes("\n".join(rows).encode("utf-16"))
    (tmp_path / "d.jsonl.gz").write_bytes(gzip.compress("\n".join(rows).encode()))
    pq.write_table(
        pa.table({"text": [f"row {i}" for i in range(30)] + [None]}), tmp_path / "e.parquet", row_group_size=4
    )
    settings = ReadSettings()
    sources = list_sources([tmp_path], settings)
    units = split_units(sources, size, settings)
    assert pickle.loads(pickle.dumps(units)) == units

    def read_units(units: list[Any]) -> tuple[list[Document], Rejects]:
        rejects: Rejects = []
        found = [d for unit in units for d in read_sources(unit, lambda *r: rejects.append(r), settings)]
        return found, rejects

    assert read_units(units) == read_units([sources])
    assert ("a.jsonl", 38, "no field with text; it has: other") in read_units(units)[1]
    if size == 50:
        assert len(units) > 20
        assert {s.name for unit in units for s in unit if s.span} == {"a.jsonl", "e.parquet"}
    if size == 10**9:
        assert units == [tuple(sources)]


def documents_folder(folder: Path) -> Path:
    folder.mkdir()
    rows = [
        Document(
            f"id{i}",
            f"text {i}",
            "https://example.org/a.html",
            "MIT",
            "en",
            "2024",
            {"cluster": i, "title": "t"},
        )
        for i in range(5)
    ]
    write_documents(folder, map(row_of, rows))
    keys = ("stage", "name", "key", "started", "settings", "inputs", "facts", "files", "seconds")
    (folder / "manifest.json").write_text(json.dumps(dict.fromkeys(keys, "")))
    return folder


def test_documents_folders_are_raw_files_too_and_their_rows_stay_as_they_are(tmp_path: Path) -> None:
    folder = documents_folder(tmp_path / "one")
    documents, rejects = read(folder)
    assert rejects == []
    assert [d.id for d in documents] == [f"id{i}" for i in range(5)]
    assert (documents[1].source, documents[1].licence, documents[1].language) == (
        "https://example.org/a.html",
        "MIT",
        "en",
    )
    assert (documents[1].time, documents[1].extra) == ("2024", {"cluster": 1, "title": "t"})
    assert not is_page(documents[1])
    both, _ = read(folder, documents_folder(tmp_path / "two"))
    assert len({d.id for d in both}) == 10


def test_patterns_choose_files(tmp_path: Path) -> None:
    for name in ("a.txt", "b.md", "news/c.txt", "news/d.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    names = {d.source for d in read(tmp_path, include=("*.txt", "news/*"), exclude=("news/c*",))[0]}
    assert names == {"a.txt", "news/d.md"}


def test_an_encoding_that_is_told_is_used_and_an_unknown_one_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("привет".encode("cp1251"))
    (tmp_path / "b.jsonl").write_bytes('{"text": "привет"}'.encode("cp1251"))
    (tmp_path / "c.csv").write_bytes("text,n\nпривет,1\n".encode("cp1251"))
    assert {d.text for d in read(tmp_path, encoding="cp1251")[0]} == {"привет"}
    with pytest.raises(ConfigError, match="encoding = 'klingon' is not known"):
        read(tmp_path, encoding="klingon")
    with pytest.raises(ConfigError, match="max_chars = 5 cuts texts too small"):
        read(tmp_path, max_chars=5)


def test_a_file_that_goes_away_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    sources = list_sources([tmp_path])
    (tmp_path / "a.txt").unlink()
    rejects: Rejects = []
    assert not list(read_sources(sources, lambda *r: rejects.append(r)))
    assert rejects == [("a.txt", None, "cannot be opened: No such file or directory")]


def test_roots_of_one_name_never_share_a_prefix(tmp_path: Path) -> None:
    roots = [tmp_path / "p" / "a", tmp_path / "q" / "a", tmp_path / "r" / "a-1", tmp_path / "s" / "a-2"]
    for root in roots:
        root.mkdir(parents=True)
        (root / "x.txt").write_text("one text")
    assert len({source.name for source in list_sources(roots)}) == 4


def test_a_name_that_is_no_utf8_differs_from_one_that_spells_its_bytes(tmp_path: Path) -> None:
    try:
        (tmp_path / os.fsdecode(b"\xff.txt")).write_text("odd")
    except OSError:
        pytest.skip("this disk takes no such names")
    (tmp_path / "\\xff.txt").write_text("plain")
    sources = list_sources([tmp_path])
    assert sorted(source.name for source in sources) == ["\\xff.txt", "\\xff~2.txt"]
    assert {d.source: d.text for d in read_sources(sources, lambda *r: None)} == {
        "\\xff.txt": "plain",
        "\\xff~2.txt": "odd",
    }


def test_what_a_stage_wrote_inside_a_raw_folder_is_not_read_as_raw(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("raw")
    made = tmp_path / "out" / "collect"
    made.mkdir(parents=True)
    write_documents(made, [])
    write_json(made / "manifest.json", asdict(Manifest("collect", "collect", "k", {}, {}, {}, {}, 0.0, "")))
    partial = tmp_path / "out" / "clean.partial-0123"
    partial.mkdir()
    (partial / "unfinished.json").write_text("{}")
    (partial / "b.txt").write_text("half")
    rejects: Rejects = []
    documents = list(read_sources(list_sources([tmp_path]), lambda *r: rejects.append(r)))
    assert [d.text for d in documents] == ["raw"]
    assert [(r[0], "a stage wrote" in r[2]) for r in rejects] == [("out/collect", True)]
