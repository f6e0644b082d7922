"""`luban tune`: models made of tuned ones."""

from __future__ import annotations

from pathlib import Path

import typer

from luban.cli.tune_search import search

app = typer.Typer(help="Search for settings; merge tuned models.", no_args_is_help=True)
app.command()(search)


@app.callback()
def tune() -> None:
    """Search for settings; merge tuned models."""


@app.command()
def merge(
    models: list[Path] = typer.Argument(
        metavar="FOLDER...", help="Model folders that were tuned from one base."
    ),
    out: Path = typer.Option(..., help="Folder to write."),
    how: str = typer.Option("linear", help="linear (weighted mean), slerp (two, along the arc), task, ties."),
    weights: str = typer.Option("", help="Numbers with commas, one a model; for slerp one, the way to go."),
    base: Path = typer.Option(None, help="The model that all began as; for task and ties."),
    density: float = typer.Option(0.2, help="ties: share of each model's changes that is kept."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON lines for programs."),
) -> None:
    """Make one model of several that were tuned from one base.

    \b
    Examples:
      luban tune merge runs/a runs/b --out runs/soup
      luban tune merge runs/a runs/b --how slerp --weights 0.3 --out runs/arc
      luban tune merge runs/a runs/b --how ties --base models/base --out runs/ties
    """
    from luban.config import nearest
    from luban.errors import ConfigError
    from luban.log import Log
    from luban.tune.soup import RULES, MergeSettings, merge_folders

    if how not in RULES:
        raise ConfigError(f"--how {how} is no way to merge", fix=nearest(how, RULES))
    try:
        numbers = tuple(float(word) for word in weights.split(",") if word.strip())
    except ValueError:
        raise ConfigError(f"--weights {weights} are no numbers", fix="such as --weights 0.7,0.3") from None
    settings = MergeSettings(how=how, weights=numbers, density=density)  # type: ignore[arg-type]
    facts = merge_folders(models, out, settings, base=base)
    log = Log(as_json=as_json)
    log.result(facts) if as_json else log.say(f"{out}: {facts['tensors']} tensors merged by {how}")
