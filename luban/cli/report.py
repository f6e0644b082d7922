"""`luban report`: draw the page of a run folder again."""

from __future__ import annotations

from pathlib import Path

import typer


def report(
    run_folder: Path = typer.Argument(help="A folder that `luban run` filled, or one stage's folder."),
    out: Path = typer.Option(None, help="File to write (default: report.html in RUN_FOLDER)."),
    open: str = typer.Option("no", help="yes: show the page in the browser afterwards."),
    as_json: bool = typer.Option(False, "--json", help="Print a JSON line for programs."),
) -> None:
    """Draw RUN_FOLDER as one html page that loads nothing from any network.

    \b
    Examples:
      luban report runs/quickstart
      luban report runs/quickstart --out quickstart.html --open yes
    """
    from luban.errors import ConfigError
    from luban.log import Log
    from luban.report.page import write_report

    if open not in ("yes", "no"):
        raise ConfigError(f"--open {open} is neither yes nor no", fix="write --open yes, or leave it out")
    page = write_report(run_folder, out or run_folder / "report.html")
    if as_json:
        Log(as_json=True).result({"report": str(page), "size_bytes": page.stat().st_size})
    else:
        print(page)
    if open == "yes":
        typer.launch(str(page))
