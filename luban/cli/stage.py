"""What the verbs that are stages share: build a one-stage recipe, then print or run it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from luban.config import Tree, fill, load_yaml, nearest, override, resolved
from luban.errors import ConfigError
from luban.log import Log
from luban.recipe import Recipe, Task
from luban.runner import Result, plan_recipe, run_recipe
from luban.stages import STAGES


def one_stage(
    use: str,
    name: str,
    inputs: Mapping[str, Path | str | None],
    out: Path,
    *,
    config: Path | None = None,
    sets: list[str] | None = None,
) -> Recipe:
    """Return a recipe with the single stage `use`; `--set NAME.key=value` reaches its settings."""
    stage = STAGES[use]
    tree = load_yaml(config) if config else Tree({})
    for text in sets or []:
        first = text.partition("=")[0].partition(".")[0]
        if first != name:
            raise ConfigError(
                f"--set {text}: this command's settings begin with {name}.", fix=nearest(first, [name])
            )
    for key in tree.data:
        if key != name:
            raise ConfigError(
                f"{tree.place((key,))}: unknown section {key}", fix=f"put the settings under {name}:"
            )
    settings = fill(stage.settings_class(), override(tree, sets or []).branch(name), name)
    given = {k: str(v) for k, v in inputs.items() if v is not None}
    return Recipe(name, out.parent, (Task(name, stage, settings, given, out),))


def run_stage(recipe: Recipe, log: Log, *, dry_run: bool = False) -> Result | None:
    """Run a one-stage recipe; a dry run prints the plan instead and returns None."""
    if dry_run:
        print_plan(recipe, log)
        return None
    return run_recipe(recipe, log)[0]


def print_plan(recipe: Recipe, log: Log) -> None:
    """Print the resolved settings, what would run or be reused, and the time it may take."""
    from luban.plan.estimate import estimate_seconds

    total = 0.0
    for plan in plan_recipe(recipe):
        seconds = 0.0 if plan.status == "reused" else estimate_seconds(plan)
        total += seconds
        row: dict[str, Any] = {
            "stage": plan.task.name,
            "use": plan.task.stage.name,
            "status": plan.status,
            "seconds": round(seconds, 1),
            "out": str(plan.task.out),
            "settings": resolved(plan.task.settings),
        }
        if log.as_json:
            log.result(row)
        else:
            print(f"{plan.task.name}: would be {plan.status}, about {seconds:.0f} s → {plan.task.out}")
            for key, value in row["settings"].items():
                print(f"    {key}: {value}")
    if log.as_json:
        log.result({"seconds": round(total, 1)})
    else:
        print(f"in all about {total:.0f} s on this machine")
