import json
from pathlib import Path
from typing import Any

import pytest

from luban.data.losses import history, history_facts, read_losses
from luban.errors import DataError
from luban.files import MANIFEST


def stage(folder: Path, key: str, before: tuple[str, Path, str] | None = None, **facts: Any) -> Path:
    folder.mkdir()
    inputs = {before[0]: {"path": str(before[1]), "key": before[2]}} if before else {}
    manifest = {
        "stage": folder.name, "name": folder.name, "key": key, "settings": {}, "inputs": inputs,
        "facts": facts, "files": {}, "seconds": 1.0, "started": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return folder


def lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    collect = stage(tmp_path / "collect", "k1", counts={"documents_in": 9, "documents_kept": 9}, rejects=3)
    clean = stage(tmp_path / "clean", "k2", ("raw", collect, "k1"), funnel=[{"step": "length"}])
    dedup = stage(tmp_path / "dedup", "k3", ("documents", clean, "k2"))
    lines(collect / "rejects.jsonl", [
        {"file": "a.csv", "line": i, "reason": f"row {i} has {i + 1} columns, not 3"} for i in (4, 8)
    ] + [{"file": "b.pdf", "line": None, "reason": "no text in it"}])  # fmt: skip
    drops = [
        {"step": "length", "reason": "too short", "detail": f"length {i}", "id": f"d{i}", "text": "短" * i}
        for i in range(1, 6)
    ]
    lines(clean / "dropped.jsonl", drops)
    near = {"step": "near-duplicates", "reason": "near-duplicate", "detail": "Jaccard 0.88 with x"}
    lines(dedup / "dropped.jsonl", [{**near, "jaccard": 0.875, "id": "n", "text": "again"}])
    return dedup


def test_the_stages_that_led_to_a_folder_come_in_their_order(chain: Path) -> None:
    steps = history(chain)
    assert [step.manifest.stage for step in steps] == ["collect", "clean", "dedup"]
    facts = history_facts(steps)
    assert facts[0]["rejects"] == 3
    assert facts[1]["funnel"] == [{"step": "length"}]


def test_a_folder_that_was_made_anew_since_is_left_out(chain: Path) -> None:
    path = chain.parent / "clean" / MANIFEST
    path.write_text(path.read_text().replace('"k2"', '"k9"'))
    assert [step.manifest.stage for step in history(chain)] == ["dedup"]


def test_drops_are_counted_by_reason_with_samples_that_do_not_depend_on_order(chain: Path) -> None:
    facts = read_losses(history(chain), 2)
    short, near = facts["dropped"]
    assert (short["stage"], short["step"], short["reason"]) == ("clean", "length", "too short")
    assert (short["documents"], short["chars"], len(short["samples"])) == (5, 15, 2)
    assert near["samples"][0]["detail"] == "Jaccard 0.88 with x"
    assert facts["jaccard"]["bars"] == [[88, 90, 1]]
    path = chain.parent / "clean" / "dropped.jsonl"
    path.write_text("\n".join(reversed(path.read_text("utf-8").splitlines())), "utf-8")
    assert read_losses(history(chain), 2) == facts


def test_rejects_go_together_though_their_reasons_name_other_numbers(chain: Path) -> None:
    found = read_losses(history(chain), 0)["rejected"]
    assert found[0] == {
        "reason": "row # has # columns, not #", "rows": 2, "example": "a.csv:4: row 4 has 5 columns, not 3"
    }  # fmt: skip
    assert found[1] == {"reason": "no text in it", "rows": 1, "example": "b.pdf: no text in it"}


def test_a_broken_line_is_named(chain: Path) -> None:
    with (chain / "dropped.jsonl").open("a") as file:
        file.write("{half a li")
    with pytest.raises(DataError, match=r"dropped\.jsonl:2 is no JSON"):
        read_losses(history(chain), 1)
