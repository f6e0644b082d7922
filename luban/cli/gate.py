"""`luban gate`: whether a tuned model is better at its task, and still what it was elsewhere."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from luban.tasks.gate import Gate

N_SHOWN = 5


def gate(
    base: Path = typer.Argument(help="Model folder before tuning."),
    tuned: Path = typer.Argument(help="Model folder after it."),
    task: Path = typer.Option(help="Rows of the task; of those it learnt from, the held-out ones count."),
    general: Path | None = typer.Option(None, help="General conversations, instead of those that ship."),
    margin: float = typer.Option(0.05, help="Share of bits per byte on general answers that may be lost."),
    out: Path | None = typer.Option(None, help="Keep scores and answers of both in this folder."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON line."),
) -> None:
    """Compare a model before and after tuning, paired: on its task, and on a frozen general set.

    Exit code 3 if the task did not improve beyond chance, or more than --margin was lost on the general
    set: forty short questions in English and Chinese, or your own.

    \b
    luban gate MODEL runs/mine --task talks.jsonl.gz
    luban gate MODEL runs/mine --task talks.jsonl.gz --general other.jsonl --margin 0.02 --out gates/mine
    """
    from luban.errors import GateError
    from luban.log import Log
    from luban.tasks.gate import gate as compare_both
    from luban.tasks.gate import shown

    with tempfile.TemporaryDirectory() as temporary:
        folder = out or Path(temporary)
        found = compare_both((base, tuned), task, general, margin, folder)
        examples = shown(folder, N_SHOWN)
    if as_json:
        Log(as_json=True).result(
            {"base": str(base), "tuned": str(tuned), **found.plain(), "examples": examples}
        )
    else:
        _print(found, examples)
    if not found.passed:
        reasons = [] if found.improved else [f"the task is {found.task.verdict}"]
        reasons += [] if found.kept else [f"general answers lost {found.lost:.1%}, more than {margin:.1%}"]
        raise GateError(
            f"{tuned} does not pass: {'; '.join(reasons)}",
            fix="train longer or gentler, or mix general rows in, such as with a second --data",
        )


def _print(found: Gate, examples: list[dict[str, Any]]) -> None:
    from luban.cli.chat_session import harmless
    from luban.cli.scores import print_table

    for example in examples:
        for name in ("question", "before", "after"):
            print(f"{name:<9} {harmless(' '.join(example[name].split()))[:160]}")
        print()
    rows = []
    for part, comparison in (("task", found.task), ("general", found.general)):
        d = comparison.differences[comparison.decided_by]
        interval = f"{d.low:+.4f} to {d.high:+.4f}, {comparison.n} rows"
        values = (f"{d.first:.4f}", f"{d.second:.4f}", f"{d.value:+.4f}")
        rows.append((part, comparison.decided_by, *values, interval))
    print_table(("rows", "score", "base", "tuned", "tuned − base", "interval"), rows)
    lost = f"{found.lost:+.1%} bits per byte, {found.margin:.1%} allowed"
    print(f"\ntask: {found.task.verdict}; general: {'kept' if found.kept else 'lost'} ({lost})")
    print("passed" if found.passed else "not passed")
