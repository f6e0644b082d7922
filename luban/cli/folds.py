"""`luban train --folds K`: train K times, each time validating on another part, and say how scores vary."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luban.errors import ConfigError

if TYPE_CHECKING:
    from luban.log import Log
    from luban.recipe import Recipe

FOLDS = "folds.json"


def run_folds(recipe_of: Callable[[Path, list[str]], Recipe], folds: int, out: Path, log: Log) -> None:
    """Train every fold into a folder below `out`, print their scores, and write folds.json.

    `recipe_of` (folder, more settings) -> recipe. Folds that are done are reused.
    """
    from luban.files import write_json
    from luban.runner import run_recipe

    if folds < 2:
        raise ConfigError(f"--folds {folds}: cross-validation needs two parts", fix="use --folds 5")
    scores: list[dict[str, float]] = []
    for i in range(1, folds + 1):
        recipe = recipe_of(out / f"fold-{i}", [f"train.folds={folds}", f"train.fold={i}"])
        best = run_recipe(recipe, log)[0].manifest.facts["best"]
        scores.append({name: value for name, value in best.items() if name != "step"})
    summary = {name: _spread([s[name] for s in scores]) for name in scores[0]}
    write_json(out / FOLDS, {"folds": scores, **summary})
    if log.as_json:
        log.result({"out": str(out), "folds": scores, **summary})
    else:
        _print(scores, summary)


def _spread(values: list[float]) -> dict[str, float]:
    return {"mean": statistics.fmean(values), "deviation": statistics.stdev(values)}


def _print(scores: list[dict[str, float]], summary: dict[str, Any]) -> None:
    from luban.cli.scores import print_table

    names = tuple(scores[0])
    rows = [(f"fold {i}", *(f"{s[name]:.4f}" for name in names)) for i, s in enumerate(scores, 1)]
    rows.append(("mean", *(f"{summary[name]['mean']:.4f}" for name in names)))
    rows.append(("deviation", *(f"{summary[name]['deviation']:.4f}" for name in names)))
    print_table(("validation", *names), rows)
