"""`luban doctor`: is this machine ready, and if not, what to do."""

from __future__ import annotations

from pathlib import Path

import typer


def doctor(
    out: Path = typer.Option(Path("runs"), help="Folder that runs will be written below."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object instead of a table."),
) -> None:
    """Check this machine and say what to fix.

    Python, torch, compiler, cores, memory, disk, permissions, optional packages.

    Exits with 0 when Luban can be used, with 2 when something stops the quickstart.

    \b
    Example:
      luban doctor --json
    """
    from dataclasses import asdict

    from luban.log import Log
    from luban.plan.doctor import examine

    checks = examine(out)
    problems = [c for c in checks if c.verdict == "problem"]
    if as_json:
        Log(as_json=True).result({"usable": not problems, "checks": [asdict(c) for c in checks]})
    else:
        _print_table([(c.name, c.verdict, c.found, c.fix) for c in checks])
        print(f"{len(problems)} to fix first" if problems else "ready: luban run quickstart")
    if problems:
        raise typer.Exit(2)


def _print_table(rows: list[tuple[str, str, str, str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    marks = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "problem": ("✗", "red")}
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    for _ in range(3):
        table.add_column(overflow="fold")
    for name, verdict, found, fix in rows:
        mark, colour = marks[verdict]
        words = Text(found)
        if fix:
            words.append(f"\n→ {fix}", style=colour)
        table.add_row(Text(mark, style=colour), name, words)
    Console().print(table)
