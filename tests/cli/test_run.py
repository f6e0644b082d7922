from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from luban.errors import DiskError
from luban.files import disk_errors, publish

if TYPE_CHECKING:
    from tests.cli.conftest import Command, Graph

ROOT = Path(__file__).parent.parent.parent
STORIES = (
    "The miller walked along the river every morning, before anyone in the village had opened a door.",
    "A ship came into the harbour last night with salt, oranges and eleven very tired sailors on board.",
    "Nobody knows who built the old bridge, but everybody has an opinion about how long it will stand.",
)


def test_a_second_run_reuses_every_stage(graph: Graph) -> None:
    first = graph.call("run", graph.recipe)
    assert (first.code, "one: running" in first.err) == (0, True), first
    assert f"summary of {graph.out}" in first.out
    page = (graph.out / "report.html").stat().st_mtime_ns
    second = graph.call("run", graph.recipe)
    assert second.code == 0
    assert "one: reused" in second.err
    assert "two: reused" in second.err
    assert (graph.out / "report.html").stat().st_mtime_ns == page


def test_only_what_depends_on_a_changed_setting_runs_again(graph: Graph) -> None:
    graph.call("run", graph.recipe)
    again = graph.call("run", graph.recipe, "--set", "two.word=other")
    assert "one: reused" in again.err
    assert "two: done" in again.err
    assert (graph.out / "two" / "whole.txt").read_text() == "other"
    whole = graph.call("run", graph.recipe, "--set", "two.word=other", "--set", "one.word=new")
    assert "one: done" in whole.err
    assert "two: done" in whole.err


def test_json_has_one_line_a_stage_and_ends_with_the_report(graph: Graph) -> None:
    lines = [json.loads(line) for line in graph.call("run", graph.recipe, "--json").out.splitlines()]
    rows = [line for line in lines if "counts" in line]
    assert [(r["stage"], r["status"], r["counts"]) for r in rows] == [
        ("one", "run", {"files": 1}),
        ("two", "run", {"files": 1}),
    ]
    assert lines[-1]["report"] == str(graph.out / "report.html")


def test_the_recipe_in_an_output_folder_repeats_the_run(graph: Graph, tmp_path: Path) -> None:
    graph.call("run", graph.recipe, "--set", "one.word=kept")
    again = graph.call("run", graph.out / "two" / "recipe.yaml", "--out", tmp_path / "again")
    assert again.code == 0, again
    assert (tmp_path / "again" / "one" / "whole.txt").read_text() == "kept"


def test_a_dry_run_tells_settings_stages_and_time_and_runs_nothing(graph: Graph) -> None:
    answer = graph.call("run", graph.recipe, "--dry-run", "--set", "two.word=other")
    assert answer.code == 0, answer
    assert "word: other" in answer.out
    assert "would run" in answer.out
    assert "2 of 2 stages would run, in about 1 s" in answer.out
    assert not graph.out.exists()
    graph.call("run", graph.recipe)
    answer = graph.call("run", graph.recipe, "--dry-run", "--json", "--set", "two.word=other")
    rows = [json.loads(line) for line in answer.out.splitlines()]
    assert [(r["stage"], r["status"]) for r in rows[:2]] == [("one", "reused"), ("two", "run")]
    assert rows[0]["seconds"] == 0
    assert rows[1]["settings"] == {"seconds": 0.0, "word": "other"}
    assert set(rows[2]) == {"seconds"}


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_stage_stopped_half_way_leaves_no_output_and_the_next_run_goes_on(
    graph: Graph, how: signal.Signals
) -> None:
    process = graph.start_and_wait_for("two: running", "run", graph.recipe, "--set", "two.seconds=60")
    assert process.stderr
    assert "half way" in process.stderr.readline()
    process.send_signal(how)
    process.communicate(timeout=20)
    assert process.returncode == {signal.SIGKILL: -9, signal.SIGINT: 130, signal.SIGTERM: 143}[how]
    assert (graph.out / "one" / "whole.txt").exists()
    assert not (graph.out / "two").exists()
    answer = graph.call("run", graph.recipe, "--set", "two.seconds=0")
    assert answer.code == 0
    assert "one: reused" in answer.err
    assert sorted(p.name for p in graph.out.iterdir()) == [".locks", "one", "report.html", "two"]


def test_a_page_older_than_a_stage_is_drawn_again(graph: Graph) -> None:
    graph.call("run", graph.recipe)
    page = graph.out / "report.html"
    os.utime(page, (1, 1))  # as if the run had been killed between the last stage and the page
    graph.call("run", graph.recipe)
    assert page.stat().st_mtime > 1


def test_a_second_run_into_the_same_folder_is_refused_and_the_first_is_unharmed(graph: Graph) -> None:
    first = graph.start_and_wait_for("half way", "run", graph.recipe, "--set", "one.seconds=1.5")
    second = graph.call("run", graph.recipe)
    assert second.code == 2
    assert f"another run (process {first.pid}) is writing {graph.out / 'one'}" in second.err
    assert "fix: wait for it" in second.err
    first.communicate(timeout=20)
    assert first.returncode == 0
    assert (graph.out / "two" / "whole.txt").read_text() == "plain"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("--set", "onne.word=x"), "--set onne.word=x: the recipe has no stage onne\n  fix: did you mean one?"),
        (("--set", "one.wrod=x"), "--set one.wrod=x: unknown setting one.wrod = \"x\"\n  fix: did you mean word?"),
        (("--set", "one.seconds=long"), "--set one.seconds=long: one.seconds = \"long\": should be a valid number\n  fix: give one.seconds a number"),
        (("--set", "one.seconds"), "--set one.seconds is not KEY=VALUE"),
    ],
)  # fmt: skip
def test_a_wrong_override_names_the_option_the_value_and_the_fix(
    graph: Graph, change: tuple[str, ...], message: str
) -> None:
    answer = graph.call("run", graph.recipe, *change)
    assert answer.code == 2
    assert f"error: {message}" in answer.err
    assert "Traceback" not in answer.err
    assert not graph.out.exists()


def test_a_wrong_key_in_the_recipe_names_its_line(graph: Graph) -> None:
    graph.recipe.write_text(graph.recipe.read_text().replace("raw: one}", "raw: one}, wrod: x"))
    answer = graph.call("run", graph.recipe)
    assert answer.code == 2
    assert f'error: {graph.recipe}:5: unknown setting two.wrod = "x"\n  fix: did you mean word?' in answer.err


def test_an_output_that_cannot_be_a_folder_is_refused(graph: Graph, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    answer = graph.call("run", graph.recipe, "--out", tmp_path / "file" / "out")
    assert answer.code == 2
    assert "cannot write" in answer.err
    assert "choose an --out folder that you may write to" in answer.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_output_is_refused(graph: Graph, tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    answer = graph.call("run", graph.recipe, "--out", tmp_path / "closed" / "out")
    assert answer.code == 2
    assert "Permission denied" in answer.err


def test_a_full_disk_is_told_with_the_free_space_and_what_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    partial = tmp_path / "out.partial-1"
    partial.mkdir()
    (partial / "data").write_text("x")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        DiskError, match=r"no space left while writing .*out \(\d+ MB free\)\n.*stages are kept"
    ):
        publish(partial, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(DiskError, match="MB free"), disk_errors(tmp_path / "not" / "there"):
        full(0)


def test_a_full_disk_inside_a_stage_ends_with_exit_code_2(graph: Graph) -> None:
    driver = graph.folder / "driver.py"
    text = driver.read_text().replace("time.sleep(settings.seconds)", "raise OSError(28, 'No space left')")
    driver.write_text(text)
    answer = graph.call("run", graph.recipe)
    assert answer.code == 2
    assert "MB free" in answer.err
    assert [p.name for p in graph.out.iterdir()] == [".locks"]


def test_a_run_with_nothing_to_do_never_imports_torch(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    raw = tmp_path / "raw"
    raw.mkdir()
    for i, story in enumerate(STORIES):
        (raw / f"{i}.txt").write_text(story)
    recipe = tmp_path / "two.yaml"
    recipe.write_text(
        f"out: {tmp_path / 'out'}\nstages:\n  clean: {{use: clean, from: {{raw: {raw}}}}}\n"
        "  dedup: {use: dedup, from: {documents: clean}}\n"
    )
    code = (
        "import sys\nfrom luban.cli.main import main\n"
        "try: main()\n"
        "except SystemExit as e: print('code', e.code, 'torch' in sys.modules, 'pyarrow' in sys.modules)\n"
    )
    line = [sys.executable, "-c", code, "run", str(recipe)]
    kept = {**os.environ, "PYTHONPATH": str(ROOT)}
    first = subprocess.run(line, capture_output=True, text=True, env=kept, check=True, timeout=120)
    assert "dedup: done" in first.stderr, first
    second = subprocess.run(line, capture_output=True, text=True, env=kept, check=True, timeout=60)
    assert "clean: reused" in second.stderr
    assert "dedup: reused" in second.stderr
    assert "code 0 False False" in second.stdout


def test_a_mistyped_verb_or_option_gets_a_hint_and_no_traceback(command: Command) -> None:
    for arguments, words in (
        (("trian",), ["no such command 'trian'", "'train'", "luban --help"]),
        (("run",), ["missing argument 'RECIPE'", "luban run --help"]),
        (("run", "quickstart", "--dry-rnu"), ["no such option: --dry-rnu", "--dry-run"]),
        (("why", "nowhere"), ["nowhere does not exist", "fix:"]),
        (("run", "no-such-recipe"), ["not a recipe file", "quickstart"]),
    ):
        answer = command(*arguments)
        assert answer.code == 2
        for word in words:
            assert word.lower() in answer.err.lower(), answer.err
        assert "Traceback" not in answer.err
