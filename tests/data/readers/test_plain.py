import json
from pathlib import Path

import pytest

from luban.data.readers.plain import code_language, cut_text
from tests.data.readers.reading import read


def test_a_text_is_cut_at_max_chars_or_left_whole(tmp_path: Path) -> None:
    text = "一段话，说一件事。\n\n" * 200
    (tmp_path / "a.txt").write_text(text)
    cut, _ = read(tmp_path, max_chars=300)
    assert "".join(d.text for d in cut) == text
    assert max(len(d.text) for d in cut) <= 300
    (whole,), _ = read(tmp_path, max_chars=0)
    assert whole.text == text


def test_a_whole_text_that_is_too_large_is_rejected_and_cut_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("word " * 1000)
    documents, rejects = read(tmp_path, max_chars=0, max_file_bytes=2000)
    assert not documents
    assert rejects[0][2].endswith("set max_chars to cut it into documents")
    assert len(read(tmp_path, max_chars=1000, max_file_bytes=2000)[0]) >= 5


def test_one_huge_line_is_cut_after_sentences_and_nothing_of_it_is_held(tmp_path: Path) -> None:
    sentence = "这是一个没有换行的文件里的一句话。"
    (tmp_path / "a.txt").write_text(sentence * 20_000)
    documents, _ = read(tmp_path, max_chars=1000)
    assert all(d.text.endswith("。") for d in documents)
    assert "".join(d.text for d in documents) == sentence * 20_000


@pytest.mark.parametrize("blocks", [["a\r", "\nb\rc"], ["a\r\nb", "\r", "c"], ["a\nb\nc"]])
def test_line_ends_of_every_kind_become_plain_ones(blocks: list[str]) -> None:
    assert list(cut_text(blocks, 300)) == ["a\nb\nc"]


def test_an_empty_and_a_blank_file_are_rejected(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"")
    (tmp_path / "b.md").write_text(" \n\n\t")
    (tmp_path / "c.html").write_text("")
    (tmp_path / "d.jsonl").write_text("")
    (tmp_path / "e.csv").write_text("")
    documents, rejects = read(tmp_path)
    assert not documents
    assert [(file, reason) for file, _, reason in rejects] == [
        ("a.txt", "no text in it"),
        ("b.md", "no text in it"),
        ("c.html", "no text in it"),
        ("d.jsonl", "no row in it"),
        ("e.csv", "no header line"),
    ]


def test_pages_are_marked_and_too_large_ones_rejected(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<p>page</p>")
    (tmp_path / "b.htm").write_text("<p>" + "x" * 500)
    documents, rejects = read(tmp_path, max_file_bytes=100)
    assert [(d.source, d.extra) for d in documents] == [("a.html", {"format": "html"})]
    assert [file for file, _, _ in rejects] == ["b.htm"]


def test_program_code_has_its_language_and_the_nearest_licence(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "LICENSE").write_text("Apache License\nVersion 2.0, January 2004")
    (tmp_path / "lib" / "COPYING").write_text("GNU GENERAL PUBLIC LICENSE\n  Version 3, 29 June 2007")
    (tmp_path / "a.py").write_text("print('你好')")
    (tmp_path / "Makefile").write_text("all:\n")
    (tmp_path / "lib" / "b.RS").write_text("fn main() {}")
    (tmp_path / "README").write_text("read me")
    for name in ("lib/deep/c.go", "other/d.c"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("code")
    documents, rejects = read(tmp_path)
    assert rejects == []
    assert [(d.source, d.licence, d.extra.get("code_language")) for d in documents] == [
        ("Makefile", "Apache-2.0", "Makefile"),
        ("README", "Apache-2.0", None),
        ("a.py", "Apache-2.0", "Python"),
        ("lib/b.RS", "GPL-3.0", "Rust"),
        ("lib/deep/c.go", "GPL-3.0", "Go"),
        ("other/d.c", "Apache-2.0", "C"),
    ]


def test_a_language_is_told_by_the_name() -> None:
    assert code_language("a/b.cpp") == "C++"
    assert code_language("x/Dockerfile") == "Dockerfile"
    assert code_language("notes.txt") == ""


def test_binary_in_a_text_file_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\x7fELF\x02\x01\x01" + bytes(range(256)) * 4)
    assert read(tmp_path)[1][0][2].startswith("not text")


def test_a_notebook_gives_its_cells_and_not_what_they_printed(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# 标题\n", "text"]},
        {"cell_type": "code", "source": "print(1)", "outputs": [{"text": "1"}]},
    ]
    (tmp_path / "a.ipynb").write_text(json.dumps({"cells": cells, "metadata": {}}))
    (tmp_path / "b.ipynb").write_text("[1]")
    (found,), rejects = read(tmp_path)
    assert (found.text, found.extra) == ("# 标题\ntext\n\nprint(1)\n\n", {"code_language": "Python"})
    assert rejects[0][2].startswith("no notebook")
