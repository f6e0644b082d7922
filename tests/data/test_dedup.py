from pathlib import Path
from typing import Any

import pytest

from luban.data.dedup import dedup
from luban.data.documents import read_documents, write_documents
from luban.data.settings import DedupSettings
from luban.errors import ConfigError
from luban.files import read_jsonl
from luban.log import Log

LONG = " ".join(f"word{i}" for i in range(60))
SIMILAR = LONG.replace("word7 ", "").replace("word30 ", "other ")
RELATED = " ".join(f"word{i}" for i in range(45)) + " " + " ".join(f"new{i}" for i in range(12))
TEXTS = [LONG, "something quite different from all the others", SIMILAR, LONG.upper(), RELATED]


def run(tmp_path: Path, texts: list[str], **changes: Any) -> dict[str, Any]:
    folder, out = tmp_path / "documents", tmp_path / "out"
    folder.mkdir(), out.mkdir()
    rows = [
        {"id": f"d{i}", "text": t, "source": "a.txt", "licence": "MIT", "language": "en"}
        for i, t in enumerate(texts)
    ]
    write_documents(folder, rows)
    return dedup(DedupSettings(**changes), {"documents": folder}, out, Log(quiet=True))


def test_the_first_of_a_group_stays_and_the_others_name_it(tmp_path: Path) -> None:
    facts = run(tmp_path, TEXTS)
    kept = {row["id"]: row["cluster"] for row in read_documents(tmp_path / "out")}
    assert kept == {"d0": "d0", "d1": "d1", "d4": "d0"}
    dropped = {row["id"]: row for row in read_jsonl(tmp_path / "out" / "dropped.jsonl")}
    assert dropped["d2"]["reason"] == "near-duplicate"
    assert dropped["d2"]["duplicate_of"] == dropped["d3"]["duplicate_of"] == "d0"
    assert 0.7 <= dropped["d2"]["jaccard"] < 1
    assert dropped["d3"]["detail"] == "the same text as d0"
    assert facts["counts"] == {
        "documents_in": 5, "documents_kept": 3, "documents_dropped": 2, "clusters": 2,
        "bytes_in": sum(map(len, TEXTS)), "bytes_kept": sum(len(TEXTS[i]) for i in (0, 1, 4)),
    }  # fmt: skip
    assert [(s["step"], s["documents_in"], s["documents_out"]) for s in facts["funnel"]] == [
        ("exact duplicates", 5, 4),
        ("near-duplicates", 4, 3),
    ]


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"dedup\.permutations = 120 does not split into dedup\.bands = 7"):
        DedupSettings(bands=7)
    with pytest.raises(
        ConfigError, match=r"dedup\.cluster_threshold = 0\.9 is above dedup\.threshold = 0\.8"
    ):
        DedupSettings(threshold=0.8, cluster_threshold=0.9)
