from pathlib import Path
from typing import Any

import pytest

from luban.errors import DataError
from luban.report.chain import read_stages


def test_a_stage_comes_after_what_it_was_made_from(run_folder: Path) -> None:
    stages = read_stages(run_folder, [])
    seen: set[str] = set()
    for stage in stages:
        assert {s.stage for s in stage.sources if s.stage} <= seen
        seen.add(stage.name)
    assert len(seen) == 23


def test_an_input_from_outside_is_named_by_the_end_of_its_path(run_folder: Path) -> None:
    clean = next(s for s in read_stages(run_folder, []) if s.name == "clean")
    assert [(s.stage, s.label) for s in clean.sources] == [(None, "quickstart/raw")]


def test_an_input_that_was_made_again_since_is_noted(run_writer: Any) -> None:
    run_writer.stage("clean", "clean", {}, {})
    run_writer.stage("dedup", "dedup", {"documents": "clean"}, {})
    run_writer.stage("clean", "clean", {}, {}, key="another")
    dedup = next(s for s in read_stages(run_writer.folder, []) if s.name == "dedup")
    assert dedup.sources[0].stage == "clean"
    assert dedup.sources[0].note == "changed since"


def test_a_broken_manifest_is_noted_and_the_others_are_read(run_writer: Any) -> None:
    run_writer.stage("clean", "clean", {}, {})
    run_writer.stage("dedup", "dedup", {"documents": "clean"}, {})
    (run_writer.folder / "clean" / "manifest.json").write_text('{"stage": "cl')
    notes: list[str] = []
    assert [s.name for s in read_stages(run_writer.folder, notes)] == ["dedup"]
    assert notes == ["clean/manifest.json is broken; that stage is left out"]


def test_unfinished_folders_are_no_stages(run_writer: Any) -> None:
    run_writer.stage("clean", "clean", {}, {})
    run_writer.stage("gpt.partial-0123", "pretrain", {}, {})
    assert [s.name for s in read_stages(run_writer.folder, [])] == ["clean"]


def test_the_folder_of_one_stage_is_a_run_of_one(run_writer: Any) -> None:
    folder = run_writer.stage("gpt", "pretrain", {}, {})
    assert [s.name for s in read_stages(folder, [])] == ["gpt"]


@pytest.mark.parametrize("name", ["absent", "."])
def test_a_folder_without_stages_is_an_error_with_a_fix(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="fix:"):
        read_stages(tmp_path / name, [])


def test_inputs_in_a_circle_do_not_hang(run_writer: Any) -> None:
    run_writer.stage("a", "clean", {"x": "run/b"}, {})
    run_writer.stage("b", "clean", {"x": "run/a"}, {})
    assert {s.sources[0].stage for s in read_stages(run_writer.folder, [])} == {"a", "b"}


def test_the_order_follows_the_inputs_though_an_input_was_made_again_later(run_writer: Any) -> None:
    run_writer.stage("clean", "clean", {}, {})
    run_writer.stage("dedup", "dedup", {"documents": "clean"}, {})
    run_writer.stage("clean", "clean", {}, {})
    assert [s.name for s in read_stages(run_writer.folder, [])] == ["clean", "dedup"]
