"""Documents through steps: every one of them is written once, whatever happens to it, on any engine."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

pa = pytest.importorskip("pyarrow")

from luban.data import documents, local_engine, steps  # noqa: E402
from luban.data.documents import document_of, read_documents, row_of, write_documents  # noqa: E402
from luban.data.engine import open_engine  # noqa: E402
from luban.data.funnel import count_bytes, site_of, source_title  # noqa: E402
from luban.data.steps import (  # noqa: E402
    Steps,
    check_count,
    document_row,
    read_folder,
    reject_row,
    run_steps,
    table_of,
    write_rows,
)
from luban.errors import DataError  # noqa: E402
from luban.files import read_jsonl  # noqa: E402
from luban.log import Log  # noqa: E402
from luban.records import Document, Drop  # noqa: E402


@dataclass(frozen=True)
class Settings:
    engine: str = "local"
    workers: int = 1


@dataclass(frozen=True)
class Shorten:
    name = "shorten"

    def __call__(self, document: Document) -> Document | Drop:
        return replace(document, text=document.text[:-1])


@dataclass(frozen=True)
class NoSeven:
    name = "no seven"

    def __call__(self, document: Document) -> Document | Drop:
        if "7" in document.id:
            return Drop("seven", f"{document.id} holds a 7")
        return document


STEPS = (Shorten(), NoSeven())


def make(folder: Path, n: int) -> Path:
    folder.mkdir()
    rows = [
        {
            "id": f"d{i}",
            "text": f"第 {i} 篇 text",
            "source": f"https://Site{i % 2}.org/{i}",
            "licence": "MIT" if i % 3 else "CC0-1.0",
            "language": "zh",
            "time": "2026",
            **({"title": f"标题{i}"} if i % 4 == 0 else {}),
            **({"score": i / 2} if i % 5 == 0 else {}),
        }
        for i in range(n)
    ]
    write_documents(folder, rows)
    return folder


ON_RAY = pytest.param(Settings("ray", 2), marks=pytest.mark.slow)  # the suite of the engines covers its parts


@pytest.mark.parametrize("engine", [Settings(), Settings(workers=2), ON_RAY], ids=str)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
def test_every_engine_writes_the_same_documents(
    engine: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    if engine.engine == "ray":
        request.getfixturevalue("ray_cluster")
    monkeypatch.setattr(local_engine, "FIRST_BYTES", 100)
    monkeypatch.setattr(documents, "GROUP_ROWS", 25)
    folder = make(tmp_path / "in", 90)
    (tmp_path / "out").mkdir()
    facts = run_steps(engine, folder, STEPS, tmp_path / "out", Log(quiet=True))
    kept = list(read_documents(tmp_path / "out"))
    dropped = list(read_jsonl(tmp_path / "out" / "dropped.jsonl"))
    gone = [f"d{i}" for i in range(90) if "7" in str(i)]
    assert [row["id"] for row in dropped] == gone
    assert [row["id"] for row in kept] == [f"d{i}" for i in range(90) if f"d{i}" not in gone]
    assert all(row["text"].endswith("tex") for row in (*kept, *dropped))
    assert {row["id"]: row.get("title") for row in kept if row.get("title")} == {
        f"d{i}": f"标题{i}" for i in range(0, 90, 4) if f"d{i}" not in gone
    }
    assert {row["score"] for row in kept if row.get("score") is not None} == {
        i / 2 for i in range(0, 90, 5) if f"d{i}" not in gone
    }
    counts = facts["counts"]
    assert counts["documents_in"] == 90 == counts["documents_kept"] + counts["documents_dropped"]
    assert counts["bytes_in"] == sum(count_bytes(row["text"]) for row in read_documents(folder))
    assert counts["bytes_kept"] == sum(count_bytes(row["text"]) for row in kept)
    shorten, seven = facts["funnel"]
    assert (shorten["documents_in"], shorten["documents_out"]) == (90, 90)
    assert shorten["bytes_in"] - shorten["bytes_out"] == 90
    assert (seven["documents_in"], seven["documents_out"]) == (90, 90 - len(gone))
    assert seven["example"]["detail"] == "d7 holds a 7"
    assert facts["drops"] == {"seven": len(gone)}
    assert set(facts["sources"]) == {"site0.org", "site1.org"}
    assert not list((tmp_path / "out").glob(".*"))


def test_rejects_are_told_apart_from_drops(tmp_path: Path) -> None:
    def read(unit: int) -> Iterator[Any]:
        document = Document("a", "one text", "a.txt")
        yield table_of([document_row(0, document), reject_row(1, "a.txt", 7, "broken")])

    with open_engine(Settings(), tmp_path) as engine:
        rows = engine.read([0], read).map(Steps(STEPS))
        written = write_rows(rows, tmp_path, [s.name for s in STEPS], {"a.txt": "A book"})
    assert list(read_jsonl(tmp_path / "rejects.jsonl")) == [{"file": "a.txt", "line": 7, "reason": "broken"}]
    assert (written.documents_in, written.rejects, written.reasons) == (1, 1, ["a.txt:7: broken"])
    assert written.kept.sources == {"A book": {"documents": 1, "licence": "unknown"}}


def test_a_lost_row_is_found_out(tmp_path: Path) -> None:
    folder = make(tmp_path / "in", 10)
    out = tmp_path / "out"
    out.mkdir()
    with open_engine(Settings(), out) as engine:
        written = write_rows(read_folder(engine, folder).map(_lose_one), out, [])
    with pytest.raises(DataError, match="has 10 documents, and 9 were kept or dropped"):
        check_count(written, folder)


def _lose_one(table: Any) -> Any:
    return table.slice(1)


def test_tables_hold_what_files_cannot(tmp_path: Path) -> None:
    rows = [
        {"id": "1", "text": "half \ud800", "order": 0, "drop": None, "sizes": [5], "tags": ["a", "b"]},
        {"id": "2", "text": "whole", "order": 1, "drop": None, "sizes": [5], "n": 3},
    ]
    table = table_of(rows)
    assert table.column("text").to_pylist() == ["half ?", "whole"]
    assert table.column("tags").to_pylist() == ['["a", "b"]', None]
    assert table.column("n").type == pa.int64()
    assert table_of([]).num_rows == 0


def test_a_document_and_its_row_are_the_same_thing() -> None:
    document = Document("1", "文", "a", "MIT", "zh", "2026-01-01", {"title": "书", "score": 0.5})
    assert document_of(row_of(document)) == document
    assert document_of({"id": "1", "text": "x", "source": "a", "title": None}) == Document("1", "x", "a")


def test_sources_are_taken_together_by_site_archive_and_folder() -> None:
    assert source_title("https://Example.org/a/b") == "example.org"
    assert source_title("books.zip!/a/b.txt") == "books.zip!*"
    assert source_title("a/index.html.gz") == "a/*.html.gz"
    assert source_title("a/b.jsonl") == "a/b.jsonl"
    assert site_of("a/b.jsonl") == "a/b.jsonl"


def test_memory_is_let_go_as_tables_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most the tables in flight are alive, however many there are."""
    alive, most = 0, 0

    class Counted:
        def __init__(self) -> None:
            nonlocal alive, most
            alive += 1
            most = max(most, alive)
            self.rows = [document_row(alive, Document("a", "x" * 50, "a.txt"))]

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def read(unit: int) -> Iterator[Any]:
        for _ in range(200):
            yield table_of(Counted().rows)

    with open_engine(Settings(), tmp_path) as engine:
        write_rows(engine.read([0], read), tmp_path, [])
    assert most <= 3


def test_tables_are_cut_by_their_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "TABLE_CHARS", 10)
    rows = [document_row(i, Document(str(i), "x" * 4, "a")) for i in range(7)]
    found = list(steps.tables(rows))
    assert [t.num_rows for t in found] == [3, 3, 1]
    assert json.loads(json.dumps([t.column("order").to_pylist() for t in found])) == [
        [0, 1, 2],
        [3, 4, 5],
        [6],
    ]
