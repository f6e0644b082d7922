"""`luban tune search`: which settings train the best model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from luban.recipe import Recipe


def search(
    task: str = typer.Option(help="What to train, as in `luban train`."),
    data: list[Path] = typer.Option(help="Rows of the task, as in `luban train`."),
    out: Path = typer.Option(help="Folder for the trials, their table and a page."),
    trials: int = typer.Option(20, min=1, help="How many trainings in all; a larger number goes on."),
    space: list[str] = typer.Option([], help="NAME=LOW..HIGH, NAME=LOW..HIGH:log, or NAME=A,B,C; repeat it."),
    space_file: Path | None = typer.Option(None, help="YAML file of NAME: LOW..HIGH:log, and so on."),
    model: str | None = typer.Option(None, help="Model folder to start from."),
    tokenizer: Path | None = typer.Option(None, help="Tokenizer folder."),
    eval_data: Path | None = typer.Option(None, "--eval", help="Rows to validate on, when DATA has none."),
    config: Path | None = typer.Option(None, help="YAML file with settings under `train:`."),
    sets: list[str] = typer.Option([], "--set", help="train.KEY=VALUE, the same in every trial."),
    seed: int = typer.Option(1, min=0, help="Decides what is tried."),
    as_json: bool = typer.Option(False, "--json", help="JSON lines; the last has the table."),
) -> None:
    """Train trials with other settings each, and keep the one with the best validation score.

    Later trials look where earlier ones did well; one that is worse than the median of the others
    at the same step ends early. Kill it at any time: the same command goes on. The best model is
    OUT/best. Test rows are never scored: do that once, with `luban evaluate OUT/best DATA`.

    \b
    Example:
      luban tune search --task classify --data rows.jsonl.gz --out runs/search --trials 12 \\
        --space train.lr=1e-5..1e-3:log --space train.label_smoothing=0,0.1
    """
    from luban.cli.stage import one_stage
    from luban.cli.train import stage_inputs
    from luban.log import Log
    from luban.report.search_page import write_search_page
    from luban.tasks.search import Search, run_search
    from luban.tasks.search_space import read_space
    from luban.tasks.task import find_task

    log, known = Log(as_json=as_json), find_task(task)
    others: dict[str, Any] = {"model": model, "tokenizer": tokenizer, "vectors": None, "eval": eval_data}
    inputs = stage_inputs(known, data, others)
    choices = read_space([*_from_file(space_file), *space])

    def recipe_of(folder: Path, more: list[str]) -> Recipe:
        return one_stage(task, "train", inputs, folder, config=config, sets=[*sets, *more])

    found = run_search(Search(choices, out, trials, seed), recipe_of, log)
    page = write_search_page(found, out / "search.html", out.name)
    if as_json:
        log.result({"out": str(out), **found})
        return
    _print(found)
    if found["best"] is not None:
        print(f"\nbest: {out / 'best'} → trial {found['best'] + 1}; {page}")
        print(f"luban evaluate {out / 'best'} {data[0]}")


def _from_file(path: Path | None) -> list[str]:
    from luban.config import load_yaml

    if path is None:
        return []
    given = load_yaml(path).data
    return [
        f"{name}={','.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in given.items()
    ]


def _print(found: dict[str, Any]) -> None:
    from luban.cli.scores import print_table

    names = list(dict.fromkeys(name for row in found["trials"] for name in row["settings"]))
    order = sorted(found["trials"], key=lambda row: row["trial"])
    rows = [
        (
            f"{row['trial'] + 1}{' *' if row['trial'] == found['best'] else ''}",
            *(_brief(row["settings"].get(name)) for name in names),
            _brief(row["value"]),
            str(row["ended"]),
        )
        for row in order
    ]
    print_table(("trial", *names, found["metric"] or "score", "ended by"), rows)
    for name, value in found["importance"].items():
        print(f"{name}: importance {value:.2f}")


def _brief(value: Any) -> str:
    return "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
