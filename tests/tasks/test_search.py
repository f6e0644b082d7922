"""A search tries settings, ends bad trials early, goes on after a stop, and keeps the best."""

import dataclasses
import warnings

import pytest

from luban.errors import ConfigError, Interrupted, LubanError
from luban.files import Manifest, read_json
from luban.log import Log
from luban.report.search_page import write_search_page
from luban.stages import Stage
from luban.tasks import search as module
from luban.tasks.search import Search, WatchedStage, run_search
from luban.tasks.search_space import read_space

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # a study is a file of SQLite
QUIET = Log(quiet=True)
SPACE = read_space(["train.lr=1e-4..1e-1:log", "train.label_smoothing=0,0.1"])


@pytest.fixture(autouse=True)
def _needs_optuna():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("optuna", reason="optuna is not installed")


@pytest.fixture
def trainings(monkeypatch):
    """Stands in for the runner: a training whose score is best at lr = 0.01, with three looks."""
    seen = []

    def run(recipe, log):
        task = recipe.tasks[0]
        settings = task.settings
        seen.append((task.out.name, settings.lr, settings.label_smoothing))
        run.words.append(settings.on_change)
        if len(seen) in run.interrupted:
            raise Interrupted("stopped", fix="go on")
        if len(seen) in run.failed:
            raise LubanError("loss is nan", fix="lower lr")
        cost, stopped = abs(settings.lr - 0.01) + settings.label_smoothing, "steps"
        for step in (0, 4, 8):
            if task.stage.watch(step, {"loss": cost + 1 / (step + 1)}):
                stopped = "pruned"
                break
        facts = {"best": {"step": step, "loss": cost}, "stopped": stopped}
        fields = {f.name: None for f in dataclasses.fields(Manifest)} | {"facts": facts, "seconds": 0.1}
        return [type("Result", (), {"manifest": Manifest(**fields)})()]

    run.interrupted, run.failed, run.seen, run.words = set(), set(), seen, []
    monkeypatch.setattr(module, "run_recipe", run)
    return run


def recipe_of(folder, sets):
    from luban.cli.stage import one_stage

    return one_stage("classify", "train", {"data": folder.parent / "rows"}, folder, sets=sets)


def test_the_best_trial_is_linked_and_every_trial_stands_in_the_table(trainings, tmp_path):
    found = run_search(Search(SPACE, tmp_path, trials=12), recipe_of, QUIET)
    assert read_json(tmp_path / "search.json") == found
    assert len(found["trials"]) == len(trainings.seen) == 12
    values = [row["value"] for row in found["trials"]]
    assert values[found["best"]] == min(values)
    assert (tmp_path / "best").readlink().name == f"trial-{found['best']:03d}"
    assert {row["settings"]["train.label_smoothing"] for row in found["trials"]} <= {0, 0.1}
    assert any(row["ended"] == "pruned" for row in found["trials"])
    assert set(found["importance"]) == {"train.lr", "train.label_smoothing"}
    page = write_search_page(found, tmp_path / "search.html", "<b>").read_text("utf-8")
    assert page.count("<circle") == 24
    assert "<b>" not in page.replace("<b>12", "")


def test_a_search_that_was_stopped_goes_on_with_the_half_trained_trial(trainings, tmp_path):
    trainings.interrupted = {3}
    with pytest.raises(Interrupted):
        run_search(Search(SPACE, tmp_path, trials=4), recipe_of, QUIET)
    found = run_search(Search(SPACE, tmp_path, trials=4), recipe_of, QUIET)
    assert trainings.seen[2] == trainings.seen[3]
    assert [row["trial"] for row in found["trials"]] == [0, 1, 2, 3]
    assert len({lr for _, lr, _ in trainings.seen}) == 4
    more = run_search(Search(SPACE, tmp_path, trials=5), recipe_of, QUIET)
    assert len(more["trials"]) == 5
    with pytest.raises(ConfigError, match="is a search over train.label_smoothing, train.lr"):
        run_search(Search(SPACE[:1], tmp_path, trials=5), recipe_of, QUIET)


def test_a_search_goes_on_under_changed_code_and_not_under_changed_settings(trainings, tmp_path):
    run_search(Search(SPACE, tmp_path, trials=1), recipe_of, QUIET)
    assert trainings.words == ["restart"]

    def other(folder, sets):
        return recipe_of(folder, [*sets, "train.seed=7", "train.on_change=continue"])

    with pytest.raises(ConfigError, match="a search with other settings: seed was 1, now 7"):
        run_search(Search(SPACE, tmp_path, trials=2), other, QUIET)
    run_search(Search(SPACE, tmp_path / "new", trials=1), other, QUIET)
    assert trainings.words == ["restart", "continue"]


def test_a_trial_that_fails_is_recorded_and_only_failures_end_the_search(trainings, tmp_path):
    trainings.failed = {2}
    found = run_search(Search(SPACE, tmp_path / "a", trials=3), recipe_of, QUIET)
    assert found["trials"][1]["ended"] == "fail"
    assert found["trials"][1]["problem"] == "loss is nan"
    trainings.failed = set(range(20))
    with pytest.raises(LubanError, match="the first 3 trials failed; the last: loss is nan"):
        run_search(Search(SPACE, tmp_path / "b", trials=9), recipe_of, QUIET)


def test_settings_that_the_task_lacks_are_refused_before_any_training(trainings, tmp_path):
    with pytest.raises(ConfigError, match="label_smoothin"):
        run_search(Search(read_space(["train.label_smoothin=0,1"]), tmp_path, trials=3), recipe_of, QUIET)
    assert not trainings.seen


def test_a_watched_stage_is_its_stage_with_a_watcher():
    stage = Stage("classify", "luban.tasks.classify:prepare", "", ("data",), trains=True)
    own = {f.name: getattr(stage, f.name) for f in dataclasses.fields(Stage)}
    watched = WatchedStage(**own, watch=lambda step, scores: True)
    assert watched.module == stage.module
    assert watched.load().args[1](0, {}) is True
