"""What becomes of a run that was stopped, when the next one is not quite the same."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from luban.errors import ConfigError, Interrupted
from luban.log import Log
from luban.recipe import Recipe, Task
from luban.runner import run_recipe
from luban.stages import Stage


@dataclass(frozen=True)
class Chosen:
    lr: float = 0.1
    on_change: str = "refuse"
    fails: bool = False


class Slow(Stage):
    """A stage that finds what an earlier try left, and may be interrupted."""

    def load(self):
        def work(settings: Chosen, inputs: object, out: Path, log: Log) -> dict[str, object]:
            checkpoint = out / "checkpoints" / "step-1"
            found = checkpoint.is_file()
            checkpoint.parent.mkdir(exist_ok=True)
            checkpoint.write_text("x")
            if settings.fails:
                raise Interrupted("stopped", fix="go on")
            return {"counts": {"found": int(found)}}

        return work


def go(out: Path, inputs: dict[str, str] | None = None, **settings: object):
    stage = Slow("slow", "luban.files:slow", "", (), resumable=True)
    task = Task("train", stage, Chosen(**settings), inputs or {}, out / "x")
    return run_recipe(Recipe("train", out, (task,)), Log(quiet=True))[0]


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    with pytest.raises(Interrupted):
        go(tmp_path, fails=True)
    return tmp_path


def test_an_unfinished_run_with_other_settings_is_never_dropped_without_a_word(stopped: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"unfinished run.*: fails was True, now False; lr was 0\.1, now 0\.2"
    ) as e:
        go(stopped, lr=0.2)
    assert "--set train.on_change=continue" in e.value.fix
    assert len(list(stopped.glob("x.partial-*/checkpoints/step-1"))) == 1


def test_it_goes_on_or_starts_over_by_an_explicit_word(stopped: Path) -> None:
    result = go(stopped, on_change="continue")
    assert result.manifest.facts["counts"]["found"] == 1
    assert not list(stopped.glob("x.partial-*"))
    assert not (stopped / "x" / "unfinished.json").exists()


def test_restart_drops_what_was_left(stopped: Path) -> None:
    assert go(stopped, on_change="restart").manifest.facts["counts"]["found"] == 0


def test_the_same_run_goes_on_unasked(stopped: Path) -> None:
    with pytest.raises(Interrupted):
        go(stopped, fails=True)


def test_what_stopped_before_its_first_checkpoint_is_not_missed(stopped: Path) -> None:
    next(stopped.glob("x.partial-*/checkpoints/step-1")).unlink()
    assert go(stopped).manifest.facts["counts"]["found"] == 0


def test_what_no_stage_has_made_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    thesis = tmp_path / "x" / "thesis.txt"
    thesis.write_text("years of work")
    with pytest.raises(ConfigError, match="x exists, and was not made by a stage"):
        go(tmp_path)
    assert thesis.read_text() == "years of work"
    thesis.unlink()
    assert go(tmp_path).status == "run", "an empty folder is nobody's"
    assert go(tmp_path, lr=0.3).status == "run", "what a stage has made, a stage may make anew"


@pytest.mark.parametrize("data", ["x", "x/rows.jsonl"])
def test_an_output_never_replaces_what_is_read(tmp_path: Path, data: str) -> None:
    path = tmp_path / data
    path.parent.mkdir(exist_ok=True)
    path.write_text("rows") if path.suffix else path.mkdir()
    with pytest.raises(ConfigError, match="would replace what is read: data = "):
        go(tmp_path, inputs={"data": str(path)})
    assert path.exists()


def test_how_a_run_is_handled_is_not_part_of_what_it_is(stopped: Path) -> None:
    go(stopped, on_change="continue")
    assert go(stopped).status == "reused"
