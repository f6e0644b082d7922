import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from luban.data.clean import clean
from luban.data.documents import read_documents
from luban.data.settings import CleanSettings
from luban.errors import DataError
from luban.files import read_jsonl
from luban.log import Log

GOOD = "The lighthouse keeper wrote the weather into his book every evening, in a small and careful hand."
CHINESE = "灯塔看守人每天晚上都把天气记在本子上，字写得又小又工整，几十年来从没有间断过一天。"


def run(raw: Path, out: Path, **changes: Any) -> dict[str, Any]:
    out.mkdir(exist_ok=True)
    settings = CleanSettings(**{"licence": "CC0-1.0", **changes})
    return clean(settings, {"raw": raw}, out, Log(quiet=True))


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    folder.mkdir()
    rows = [{"text": GOOD}, {"text": "ok"}, {"text": CHINESE}, {"text": "x" * 90}, {"nothing": 1}]
    rows[0]["text"] += "  \n\n"
    (folder / "a.jsonl").write_text("\n".join(json.dumps(r) for r in rows) + '\n{"text": "cut')
    (folder / "b.html").write_text("<html><div id=root></div><script>1</script></html>")
    (folder / "c.txt.gz").write_bytes(gzip.compress(GOOD.encode())[:20])
    return folder


def test_what_comes_in_is_kept_or_dropped_and_every_step_adds_up(raw: Path, tmp_path: Path) -> None:
    facts = run(raw, tmp_path / "out")
    counts, funnel = facts["counts"], facts["funnel"]
    assert counts["documents_in"] == 5
    assert counts["documents_kept"] == 2 == len(list(read_documents(tmp_path / "out")))
    dropped = list(read_jsonl(tmp_path / "out" / "dropped.jsonl"))
    assert counts["documents_dropped"] == 3 == len(dropped)
    assert funnel[0]["documents_in"] == counts["documents_in"]
    assert funnel[0]["bytes_in"] == counts["bytes_in"]
    assert funnel[-1]["documents_out"] == counts["documents_kept"]
    assert funnel[-1]["bytes_out"] == counts["bytes_kept"] == len((GOOD + CHINESE).encode())
    for before, after in zip(funnel, funnel[1:], strict=False):
        assert before["documents_out"] == after["documents_in"]
        assert before["bytes_out"] == after["bytes_in"]
    assert facts["languages"]["zh"] == {"documents": 1, "bytes": len(CHINESE.encode())}
    assert facts["licences"] == {"CC0-1.0": 2}
    assert facts["sources"] == {"a.jsonl": {"documents": 2, "licence": "CC0-1.0"}}


def test_dropped_rows_and_rejects_say_why(raw: Path, tmp_path: Path) -> None:
    facts = run(raw, tmp_path / "out")
    dropped = {row["reason"]: row for row in read_jsonl(tmp_path / "out" / "dropped.jsonl")}
    assert set(dropped) == {"no main text", "too short", "one character"}
    assert dropped["too short"]["detail"] == "length 2, at least 40 is needed"
    assert dropped["too short"]["text"] == "ok"
    rejects = [(r["file"], r["line"]) for r in read_jsonl(tmp_path / "out" / "rejects.jsonl")]
    assert rejects == [("a.jsonl", 5), ("a.jsonl", 6), ("c.txt.gz", None)]
    assert facts["rejects"] == 3
    short = next(step for step in facts["funnel"] if step["step"] == "length")
    assert short["example"]["text"] == "ok"


def test_a_folder_from_which_nothing_can_be_read_is_an_error_that_says_what_was_there(tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"x")
    with pytest.raises(DataError, match=r"nothing could be read: a\.png: no reader for \.png"):
        run(folder, tmp_path / "out")
    (folder / "a.png").rename(folder / "a.txt")
    with pytest.raises(DataError, match="all 1 documents were dropped, most of them by the step 'length'"):
        run(folder, tmp_path / "out")


def test_the_same_input_gives_the_same_bytes(raw: Path, tmp_path: Path) -> None:
    run(raw, tmp_path / "one")
    run(raw, tmp_path / "two")
    for name in ("documents-00000.parquet", "dropped.jsonl", "rejects.jsonl"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_cleaned_documents_can_be_cleaned_again(raw: Path, tmp_path: Path) -> None:
    run(raw, tmp_path / "one")
    (tmp_path / "one" / "manifest.json").write_text(
        json.dumps(
            {k: {} for k in ("settings", "inputs", "facts", "files")}
            | {"stage": "clean", "name": "", "key": "", "seconds": 0, "started": ""}
        )
    )
    facts = run(tmp_path / "one", tmp_path / "two")
    assert facts["counts"]["documents_in"] == facts["counts"]["documents_kept"] == 2
