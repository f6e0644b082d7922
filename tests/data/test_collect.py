import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from luban.data.clean import clean
from luban.data.collect import collect
from luban.data.documents import read_documents
from luban.data.settings import CleanSettings, CollectSettings
from luban.errors import DataError
from luban.files import read_jsonl
from luban.log import Log

PAGE = "<html><body><article><p>{}</p></article></body></html>"
ENGLISH = (
    "The lighthouse keeper wrote the weather into his book every evening, in a small and careful hand. " * 3
)
CHINESE = "灯塔看守人每天晚上都把天气记在本子上，字写得又小又工整，几十年来从没有间断过一天。" * 3


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    folder.mkdir()
    rows = [{"text": ENGLISH, "date": "2024-05-01", "title": "One"}, {"text": None}, {"text": CHINESE}]
    (folder / "a.jsonl").write_text("\n".join(map(json.dumps, rows)) + '\n{"text": "cut')
    (folder / "b.html").write_text(PAGE.format(CHINESE))
    (folder / "c.txt.gz").write_bytes(gzip.compress(CHINESE.encode("gb18030"))[:-9])
    (folder / "d.txt").write_bytes(CHINESE.encode("big5", "ignore"))
    (folder / "e.txt").write_bytes(b"")
    return folder


def run(raw: Path, out: Path, **changes: Any) -> dict[str, Any]:
    out.mkdir()
    settings = CollectSettings(**{"workers": 1, "licence": "CC0-1.0", **changes})
    return collect(settings, {"raw": raw}, out, Log(quiet=True))


def test_all_that_comes_in_is_a_document_or_a_reject(raw: Path, tmp_path: Path) -> None:
    facts = run(raw, tmp_path / "out", carry=("title",))
    rows = list(read_documents(tmp_path / "out"))
    assert [r["source"] for r in rows] == ["a.jsonl", "a.jsonl", "b.html", "d.txt"]
    assert (rows[0]["time"], rows[0]["title"], rows[0]["licence"]) == ("2024-05-01", "One", "CC0-1.0")
    assert rows[2]["format"] == "html"
    assert rows[3]["text"] == CHINESE.encode("big5", "ignore").decode("big5")
    rejects = [(r["file"], r["line"]) for r in read_jsonl(tmp_path / "out" / "rejects.jsonl")]
    assert rejects == [("a.jsonl", 2), ("a.jsonl", 4), ("c.txt.gz", None), ("e.txt", None)]
    assert facts["rejects"] == 4
    assert facts["counts"]["documents_in"] == facts["counts"]["documents_kept"] == 4
    assert not (tmp_path / "out" / "dropped.jsonl").exists()


def test_collected_documents_are_cleaned_as_the_raw_files_would_be(raw: Path, tmp_path: Path) -> None:
    run(raw, tmp_path / "collected")
    keys = ("stage", "name", "key", "started", "settings", "inputs", "facts", "files", "seconds")
    (tmp_path / "collected" / "manifest.json").write_text(json.dumps(dict.fromkeys(keys, "")))
    settings = CleanSettings(workers=1, licence="CC0-1.0", max_repeated_ngrams=1)
    found = []
    for name, folder in (("one", raw), ("two", tmp_path / "collected")):
        (tmp_path / name).mkdir()
        clean(settings, {"raw": folder}, tmp_path / name, Log(quiet=True))
        found.append([(r["id"], r["text"], r.get("format")) for r in read_documents(tmp_path / name)])
    assert found[0] == found[1]
    assert all(kind is None for _, _, kind in found[0])


def test_large_files_are_read_by_several_workers_with_the_same_outcome(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (raw / "z.jsonl").open("w") as f:
        f.writelines(json.dumps({"text": f"{i} {ENGLISH}"}) + "\n" for i in range(300))
    run(raw, tmp_path / "one")
    monkeypatch.setattr("luban.data.raw.UNIT_BYTES", 10_000)
    run(raw, tmp_path / "two", workers=2)
    for name in ("documents-00000.parquet", "rejects.jsonl"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_nothing_readable_is_an_error_that_says_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.png").write_bytes(b"x")
    with pytest.raises(DataError, match=r"nothing could be read: a\.png: no reader for \.png"):
        run(tmp_path / "raw", tmp_path / "out")


def test_hidden_files_are_counted(raw: Path, tmp_path: Path) -> None:
    assert "passed_over" not in run(raw, tmp_path / "before")
    (raw / ".git" / "objects").mkdir(parents=True)
    (raw / ".git" / "config").write_text("x")
    (raw / "deep").mkdir()
    (raw / "deep" / ".DS_Store").write_text("x")
    assert run(raw, tmp_path / "after")["passed_over"] == {"hidden": 2}
