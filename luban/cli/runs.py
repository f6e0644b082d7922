"""`luban runs`: which models were trained below a folder, how they ended, and how two of them differ."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
import typer.core

if TYPE_CHECKING:
    from luban.report.runs import TrainingRun


class _ListByItself(typer.core.TyperGroup):
    """`luban runs FOLDER` lists, without a word for it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `list` before what is no other word."""
        is_other = args and (args[0] in self.commands or args[0] in ("-h", "--help"))
        return super().parse_args(ctx, args if is_other else ["list", *args])


app = typer.Typer(
    cls=_ListByItself,
    help="List training runs, or compare two: luban runs [FOLDER], luban runs compare A B.",
    rich_markup_mode=None,
)


@app.command("list")
def list_runs(
    folder: Path = typer.Argument(Path("runs"), help="Folder to look below."),
    sort: str = typer.Option("when", help="when, best, name or speed."),
    as_json: bool = typer.Option(False, "--json", help="One JSON line for each run."),
) -> None:
    """List the training runs below FOLDER, those that were stopped or still go on among them.

    \b
    Examples:
      luban runs
      luban runs list runs/quickstart --sort best
    """
    from luban.config import nearest
    from luban.errors import ConfigError
    from luban.log import Log
    from luban.report.runs import find_runs

    if sort not in SORTS:
        raise ConfigError(f"--sort {sort} is none of {', '.join(SORTS)}", fix=nearest(sort, list(SORTS)))
    runs = sorted(find_runs(folder), key=SORTS[sort])
    if as_json:
        for run in runs:
            Log(as_json=True).result(run.plain())
    elif not runs:
        print(f"no training run below {folder}")
    else:
        _print(runs, folder)


@app.command("compare")
def compare(
    first: Path = typer.Argument(help="Folder of a training run, finished or not."),
    second: Path = typer.Argument(help="The other one."),
    out: Path | None = typer.Option(None, help="Page to write (default: beside FIRST)."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON line."),
) -> None:
    """Show which settings of two runs differ and what came of them, and draw both curves on one page.

    \b
    Examples:
      luban runs compare runs/a runs/b
    """
    from luban.cli.scores import print_table
    from luban.cli.writing import refuse_unwritable
    from luban.log import Log
    from luban.report.runs import read_run
    from luban.report.runs_page import differing_settings, scores_beside, write_comparison

    one, other = read_run(first), read_run(second)
    settings = differing_settings(one.training.stage.settings, other.training.stage.settings)
    page = out or first.parent / f"compare-{first.name}-{second.name}.html"
    refuse_unwritable(page)
    write_comparison(one, other, page)
    if as_json:
        differ = {name: [a, b] for name, a, b in settings}
        Log(as_json=True).result(
            {"first": one.plain(), "second": other.plain(), "settings": differ, "page": str(page)}
        )
        return
    print_table(("setting", str(first), str(second)), settings or [("none differs", "", "")])
    print_table(("score", str(first), str(second)), scores_beside(one, other), title="what came of it")
    print(f"\n{page}")


SORTS: dict[str, Any] = {
    "when": lambda run: _reversed(run.training.stage.started),
    "best": lambda run: (run.best is None, run.best and run.best[0], -_goodness(run)),
    "name": lambda run: run.name,
    "speed": lambda run: -(run.training.tokens_per_second or 0.0),
}


def _reversed(text: str) -> list[int]:
    return [-ord(c) for c in text]


def _goodness(run: TrainingRun) -> float:
    from luban.records import LOWER_IS_BETTER

    if run.best is None:
        return 0.0
    name, value = run.best
    return -value if name in LOWER_IS_BETTER else value


def _print(runs: list[TrainingRun], folder: Path) -> None:
    from luban.cli.scores import print_table
    from luban.report.wording import whole

    rows = [
        (
            _place(run, folder),
            run.training.stage.use,
            run.training.family or "–",
            f"{run.best[0].replace('_', ' ')} {run.best[1]:.4f}" if run.best else "–",
            whole(run.training.tokens_per_second),
            run.progress,
            run.state,
            run.training.stage.started[:16].replace("T", " "),
        )
        for run in runs
    ]
    print_table(("run", "task", "family", "best", "tokens/s", "steps", "state", "when (UTC)"), rows)


def _place(run: TrainingRun, folder: Path) -> str:
    """Return what to name in `luban runs compare`, seen from the folder listed."""
    path = run.training.stage.folder.with_name(run.name)
    return str(path.relative_to(folder)) if path != folder else run.name
