"""Search for settings: train one trial after another, each where the ones before did best.

Tree-structured Parzen estimators choose (Bergstra et al. 2011), a trial that is worse than the median
of the others at the same step stops early. The study is a SQLite file, so that a search that was killed
goes on, a half-trained trial included. Only validation rows decide; test rows are never scored.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from luban.config import resolved
from luban.data.extras import load_extra
from luban.errors import BusyError, ConfigError, DiskError, Interrupted, LubanError, MissingExtra
from luban.files import locked, write_json
from luban.log import Log
from luban.recipe import Recipe, Task
from luban.records import LOWER_IS_BETTER
from luban.runner import run_recipe
from luban.stages import WITHOUT_EFFECT, Facts, Stage, StageFunction
from luban.tasks.prepared import Prepare, preparation, train_prepared
from luban.tasks.search_space import Choice
from luban.train.watching import decisive_score

SEARCH, STUDY = "search.json", "search.db"
STARTUP_TRIALS = 5
"""Trials at random, and before any is stopped early."""
GIVE_UP = 3
"""So many failed trials without one that trained end the search."""
FINAL = (ConfigError, MissingExtra, BusyError, DiskError, Interrupted)
"""Errors that another trial would meet too."""

RecipeOf = Callable[[Path, list[str]], Recipe]


@dataclass(frozen=True, slots=True)
class Search:
    """What is tried, how often, and where the trials go."""

    space: Sequence[Choice]
    out: Path
    trials: int
    seed: int = 1


@dataclass(frozen=True, slots=True)
class WatchedStage(Stage):
    """A training stage whose looks at the validation rows are told to a watcher, which may end it."""

    watch: Callable[[int, dict[str, float]], bool] = lambda step, scores: False

    def load(self) -> StageFunction:
        """Return the stage's function with its watcher."""
        return partial(_train_watched, preparation(self.name), self.watch)


def run_search(search: Search, recipe_of: RecipeOf, log: Log) -> dict[str, Any]:
    """Train trials until there are as many as wanted; return, and write, what is in search.json.

    `recipe_of` (folder, settings) -> the recipe of one training.
    """
    first = recipe_of(search.out, _settings({c.name: c.first() for c in search.space})).tasks[0]
    stage = first.stage
    if not stage.trains:
        raise ConfigError(
            f"--task {stage.name} does not learn by steps", fix="search another task's settings"
        )
    optuna = load_extra("optuna", "tune")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    search.out.mkdir(parents=True, exist_ok=True)
    with locked(search.out / ".search"):
        study = _study(optuna, search)
        _check_same(study, search, _fixed(first, search))
        while (trial := _next(optuna, study, search)) is not None:
            _try(optuna, study, trial, search, recipe_of, log)
            _give_up(optuna, study)
            write_json(search.out / SEARCH, table(optuna, study, search))
    found = table(optuna, study, search)
    write_json(search.out / SEARCH, found)
    if found["best"] is not None:
        _link(search.out / "best", f"trial-{found['best']:03d}")
    return found


def table(optuna: Any, study: Any, search: Search) -> dict[str, Any]:
    """Return the trials as plain data: settings, scores, and how each ended."""
    rows = []
    for trial in study.trials:
        settings = {c.name: _value(c, trial.params[c.name]) for c in search.space if c.name in trial.params}
        state = trial.user_attrs.get("ended") or trial.state.name.lower()
        about = {k: trial.user_attrs.get(k) for k in ("metric", "value", "step", "seconds", "problem")}
        rows.append({"trial": trial.number, "settings": settings, "ended": state, **about})
    done = [t for t in study.trials if t.state == optuna.trial.TrialState.COMPLETE]
    best = min(done, key=lambda t: t.value).number if done else None
    metric = next((r["metric"] for r in rows if r["metric"]), None)
    return {
        "metric": metric,
        "best": best,
        "trials": rows,
        "importance": _importance(optuna, study, len(done)),
    }


def _train_watched(
    prepare: Prepare,
    watch: Callable[[int, dict[str, float]], bool],
    settings: Any,
    inputs: Mapping[str, Path],
    out: Path,
    log: Log,
) -> Facts:
    prepared = prepare(settings, inputs, out, log)
    return train_prepared(replace(prepared, run=replace(prepared.run, stop_early=watch)), out, log)


def _study(optuna: Any, search: Search) -> Any:
    path = search.out / STUDY
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # optuna marks parts of itself as experimental
        study = optuna.create_study(
            storage=f"sqlite:///{path}",
            study_name="search",
            direction="minimize",
            pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP_TRIALS, n_warmup_steps=1),
            load_if_exists=True,
        )
    names = sorted(c.name for c in search.space)
    if study.user_attrs.get("space", names) != names:
        raise ConfigError(
            f"{path} is a search over {', '.join(study.user_attrs['space'])}",
            fix="choose another --out, or give the same --space",
        )
    study.set_user_attr("space", names)
    seed = search.seed + len(study.trials)  # a search that goes on draws anew
    study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP_TRIALS)
    return study


def _fixed(task: Task, search: Search) -> dict[str, str]:
    """Return what is the same in every trial: scores made with another are none of this search."""
    searched = {c.name.split(".")[1] for c in search.space if "." in c.name} | set(WITHOUT_EFFECT)
    settings = {k: str(v) for k, v in resolved(task.settings).items() if k not in searched}
    return settings | {f"the input {name}": str(path) for name, path in task.inputs.items()}


def _check_same(study: Any, search: Search, now: Mapping[str, str]) -> None:
    before = study.user_attrs.get("fixed", now)  # a newer Luban may have settings that it had not
    changed = [f"{k} was {before[k]}, now {v}" for k, v in now.items() if before.get(k, v) != v]
    if changed:
        raise ConfigError(
            f"{search.out / STUDY} is a search with other settings: {'; '.join(changed)}",
            fix="set them back, or choose another --out",
        )
    study.set_user_attr("fixed", dict(now))


def _next(optuna: Any, study: Any, search: Search) -> Any:
    """Return the trial that was interrupted, or a new one; None when there are enough."""
    for frozen in study.trials:
        if frozen.state == optuna.trial.TrialState.RUNNING:
            return optuna.trial.Trial(study, frozen._trial_id)
    return study.ask() if len(study.trials) < search.trials else None


def _try(optuna: Any, study: Any, trial: Any, search: Search, recipe_of: RecipeOf, log: Log) -> None:
    settings = {c.name: c.suggest(trial) for c in search.space}
    folder = search.out / f"trial-{trial.number:03d}"
    shown = ", ".join(f"{name} = {_brief(value)}" for name, value in settings.items())
    log.say(f"trial {trial.number + 1} of {search.trials}: {shown}", trial=trial.number, settings=settings)
    recipe = recipe_of(folder, _settings(settings))
    task = recipe.tasks[0]
    watch = partial(_report, trial, task.settings.best_by)
    own = {f.name: getattr(task.stage, f.name) for f in fields(Stage)}
    settings = replace(task.settings, on_change=_on_change(task.settings.on_change))
    watched = replace(
        recipe, tasks=(replace(task, settings=settings, stage=WatchedStage(**own, watch=watch)),)
    )
    try:
        manifest = run_recipe(watched, log)[0].manifest
    except FINAL:
        raise
    except LubanError as e:
        trial.set_user_attr("problem", e.problem)
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
        log.warn(f"trial {trial.number + 1} failed: {e.problem}")
        return
    best = {name: value for name, value in manifest.facts["best"].items() if name != "step"}
    name = decisive_score(best, task.settings.best_by)
    about = {
        "metric": name,
        "value": best[name],
        "step": manifest.facts["best"]["step"],
        "seconds": manifest.seconds,
    }
    for key, value in about.items():
        trial.set_user_attr(key, value)
    trial.set_user_attr("ended", manifest.facts["stopped"])
    study.tell(trial, _cost(name, best[name]))
    log.say(f"  {name} {best[name]:.4f}, ended by {manifest.facts['stopped']}", **about)


def _on_change(word: str) -> str:
    """Begin a half-trained trial anew where the code has changed since: it is short, and no other waits."""
    return "restart" if word == "refuse" else word


def _report(trial: Any, best_by: str, step: int, scores: dict[str, float]) -> bool:
    """Tell a look to the study, and whether the trial is worse than the others were there."""
    name = decisive_score(scores, best_by)
    if not math.isfinite(scores[name]):
        return False
    if step not in trial._get_latest_trial().intermediate_values:
        trial.report(_cost(name, scores[name]), step)
    return bool(trial.should_prune())


def _cost(name: str, value: float) -> float:
    return value if name in LOWER_IS_BETTER else -value


def _give_up(optuna: Any, study: Any) -> None:
    failed = [t for t in study.trials if t.state == optuna.trial.TrialState.FAIL]
    if len(failed) >= GIVE_UP and len(failed) == len(study.trials):
        raise LubanError(
            f"the first {len(failed)} trials failed; the last: {failed[-1].user_attrs.get('problem')}",
            fix="narrow the space, such as to lower learning rates",
        )


def _importance(optuna: Any, study: Any, n_done: int) -> dict[str, float]:
    """Return how much of the difference between good and other trials each setting explains.

    Source: PED-ANOVA, arXiv:2304.10255.
    """
    if n_done < 2 * STARTUP_TRIALS:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {str(name): float(value) for name, value in found.items()}


def _value(choice: Choice, drawn: Any) -> Any:
    return choice.values[drawn] if choice.values else drawn


def _settings(values: Mapping[str, Any]) -> list[str]:
    return [f"{name}={_text(value)}" for name, value in values.items()]


def _text(value: Any) -> str:
    if isinstance(value, float):
        return (
            repr(value) if "." in repr(value) else f"{value:.17f}".rstrip("0")
        )  # 1e-05 would be a text in YAML
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _brief(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _link(path: Path, to: str) -> None:
    if path.is_symlink():
        path.unlink()
    os.symlink(to, path)
