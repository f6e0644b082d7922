"""`luban run`: bring every output of a recipe up to date, then show what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from luban.log import Log
    from luban.recipe import Recipe
    from luban.runner import Result

PAGE = "report.html"


def run(
    recipe: str = typer.Argument(
        metavar="RECIPE", help="A recipe file, or the name of a bundled one, such as quickstart."
    ),
    sets: list[str] = typer.Option([], "--set", help="STAGE.KEY=VALUE, over the recipe's own settings."),
    out: Path = typer.Option(None, help="Folder for the outputs, instead of the recipe's."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Print settings, stages and time; run nothing."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON lines for programs."),
    nproc: int = typer.Option(1, min=1, help="Processes on this host that train together."),
) -> None:
    """Run a recipe; reuse what is up to date.

    A stage runs when its inputs, its settings or its code have changed. Stop the run at any time:
    finished stages are kept, and the same command goes on.

    \b
    Examples:
      luban run quickstart
      luban run quickstart --set train.steps=200 --dry-run
      luban run runs/quickstart/train/recipe.yaml
    """
    from luban.cli.stage import print_plan
    from luban.cli.together import run_together
    from luban.log import Log
    from luban.recipe import load_recipe

    log = Log(as_json=as_json)
    graph = load_recipe(recipe, sets, out)
    if dry_run:
        print_plan(graph, log)
        return
    results = run_together(graph, log)
    if results is None:
        return
    if as_json:
        for result in results:
            log.result(_row(result))
    page = graph.out / PAGE
    if _is_stale(page, graph):
        from luban.report.page import write_report

        write_report(graph.out, page, {r.task.out.name: r.status for r in results})
    _close(graph, page, log)


def _row(result: Result) -> dict[str, Any]:
    return {
        "stage": result.task.name,
        "status": result.status,
        "seconds": result.manifest.seconds if result.status != "reused" else 0.0,
        "out": str(result.task.out),
        "counts": result.manifest.facts.get("counts", {}),
    }


def _is_stale(page: Path, graph: Recipe) -> bool:
    """Whether a stage finished after the page was drawn, in this run or in one that was killed."""
    from luban.files import MANIFEST

    if not page.is_file():
        return True
    drawn = page.stat().st_mtime_ns
    return any((t.out / MANIFEST).stat().st_mtime_ns > drawn for t in graph.tasks)


def _close(graph: Recipe, page: Path, log: Log) -> None:
    from luban.report.summary import summarise

    if log.as_json:
        log.result({"recipe": graph.name, "out": str(graph.out), "report": str(page)})
    else:
        print(summarise(graph.out))
