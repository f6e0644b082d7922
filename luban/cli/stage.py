"""What the verbs that are stages share: build a one-stage recipe, then print or run it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from luban.cli.dry_run import check_fits, forecast
from luban.cli.together import run_together
from luban.config import Tree, fill, load_yaml, nearest, override, resolved
from luban.errors import ConfigError
from luban.log import Log
from luban.recipe import Recipe, Task
from luban.runner import Result, plan_recipe
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
    """Run a one-stage recipe; a dry run prints the plan instead and returns None.

    Of several processes, only the first has a result.
    """
    plans = plan_recipe(recipe) if recipe.tasks[0].stage.trains else []
    if dry_run:
        print_plan(recipe, log)
        for plan in plans:
            forecast(plan, log)
        return None
    for plan in plans:
        check_fits(plan)
    results = run_together(recipe, log)
    return results[0] if results else None


def print_plan(recipe: Recipe, log: Log) -> None:
    """Print what would run or be reused, the time it may take, and the resolved settings."""
    from luban.plan.estimate import estimate_all

    plans = plan_recipe(recipe)
    rows: list[dict[str, Any]] = [
        {
            "stage": plan.task.name,
            "use": plan.task.stage.name,
            "status": plan.status,
            "seconds": round(seconds, 1),
            "out": str(plan.task.out),
            "settings": resolved(plan.task.settings),
        }
        for plan, seconds in zip(plans, estimate_all(plans), strict=True)
    ]
    total = sum(row["seconds"] for row in rows)
    if log.as_json:
        for row in rows:
            log.result(row)
        log.result({"seconds": round(total, 1)})
        return
    _print_settings(rows)
    _print_stages(rows)
    n_reused = sum(row["status"] == "reused" for row in rows)
    print(f"{len(rows) - n_reused} of {len(rows)} stages would run, in about {_duration(total)}")


def _print_settings(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        text = yaml.safe_dump(row["settings"], sort_keys=False, allow_unicode=True, default_flow_style=None)
        print(f"{row['stage']}:")
        print(textwrap.indent(text, "  "))


def _print_stages(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    words = {"reused": ("reused", "green"), "run": ("would run", "yellow"), "resume": ("would go on", "cyan")}
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name, place in (("stage", "left"), ("", "left"), ("about", "right"), ("folder", "left")):
        table.add_column(name, justify=place, overflow="fold")  # type: ignore[arg-type]
    for row in rows:
        word, colour = words[row["status"]]
        about = _duration(row["seconds"]) if row["status"] != "reused" else "–"
        table.add_row(row["stage"], Text(word, style=colour), about, row["out"])
    Console().print(table)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
