import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from luban.places import BUNDLED
from luban.recipe import numbered

Command = Callable[..., Any]
SENTENCE = "On page {0} of the {1} the keeper of the archive noted a visit by {2} people from {3}."


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    folder.mkdir()
    for i in range(8):
        words = [f"{name}{i * 7}" for name in ("seven", "ledger", "eleven", "harbour")]
        (folder / f"{i}.txt").write_text(SENTENCE.format(*words) * (i + 1))
    (folder / "copy.txt").write_text((folder / "3.txt").read_text())
    return folder


def test_raw_text_goes_to_split_documents_and_is_described(
    raw: Path, tmp_path: Path, command: Command
) -> None:
    permissive = "--set=clean.max_repeated_ngrams=1"
    code, out, _ = command("data", "clean", raw, "--out", tmp_path / "clean", "--json", permissive)
    assert code == 0
    counts = json.loads(out.splitlines()[-1])["counts"]
    assert counts["documents_in"] == counts["documents_kept"] + counts["documents_dropped"] == 9
    manifest = json.loads((tmp_path / "clean" / "manifest.json").read_text())
    assert manifest["counts"] == counts
    code, out, _ = command("data", "dedup", tmp_path / "clean", "--out", tmp_path / "dedup")
    assert code == 0
    assert "exact duplicates" in out
    assert command("data", "split", tmp_path / "dedup", "--out", tmp_path / "split").code == 0
    code, out, _ = command("data", "describe", tmp_path / "split", "--json")
    facts = json.loads(out)
    assert facts["stage"] == "split"
    assert sum(part["documents"] for part in facts["splits"].values()) == facts["counts"]["documents_kept"]
    assert facts["lengths"]["shortest"] > 40


def test_several_inputs_make_one_corpus_and_a_recipe_that_repeats(
    raw: Path, tmp_path: Path, command: Command
) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "0.txt").write_text("A second folder with a text that is long enough to be kept.")
    call = (
        "data",
        "clean",
        raw,
        tmp_path / "more",
        "--out",
        tmp_path / "clean",
        "--set",
        "clean.max_repeated_ngrams=1",
    )
    assert command(*call).code == 0
    manifest = json.loads((tmp_path / "clean" / "manifest.json").read_text())
    assert manifest["counts"]["documents_in"] == 10
    assert {"raw/0.txt", "more/0.txt"} <= set(manifest["facts"]["sources"])
    assert list(manifest["inputs"]) == ["raw", "raw:2"] == list(numbered("raw", ["a", "b"]))
    assert "reused" in command(*call).err


def test_bad_input_exits_with_two_and_a_fix(tmp_path: Path, command: Command) -> None:
    (tmp_path / "empty").mkdir()
    code, _, err = command("data", "clean", tmp_path / "empty", "--out", tmp_path / "out")
    assert code == 2
    assert "holds no files" in err
    assert "fix: " in err
    assert not (tmp_path / "out").exists()
    code, _, err = command("data", "describe", tmp_path / "empty")
    assert code == 2
    assert "was not written by a stage" in err


def test_the_bundled_data_is_small_and_every_file_has_a_licence() -> None:
    from luban.data.sources import list_sources

    files = [p for p in BUNDLED.rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) <= 4_000_000
    sources = list_sources([BUNDLED / "quickstart" / "raw"])
    assert {s.name.split("/")[0] for s in sources} == {"en", "zh"}
    assert all(s.origin.licence and s.origin.source for s in sources)
