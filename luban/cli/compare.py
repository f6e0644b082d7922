"""`luban compare`: which of two models is better on the same rows, and how sure that is."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import typer


def compare(
    first: Path = typer.Argument(help="Scores folder of `luban evaluate --out`, or a model folder."),
    second: Path = typer.Argument(help="The same for the model that would replace it."),
    data: Path | None = typer.Argument(None, help="Rows to score both on, when they are model folders."),
    split: str = typer.Option("test", help="Which rows of DATA, if it says: test, validation or train."),
    resamples: int = typer.Option(1000, min=10, help="Bootstrap resamples."),
    confidence: float = typer.Option(0.95, min=0.5, max=0.999, help="Share of resamples inside an interval."),
    seed: int = typer.Option(1, min=0, help="Decides the resamples."),
    by: str | None = typer.Option(None, help="Metric that decides (default: the first of the rows)."),
    gate: bool = typer.Option(False, "--gate", help="Exit with 3 if SECOND is worse."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON line."),
) -> None:
    """Compare two systems by a paired bootstrap: SECOND minus FIRST on the same rows.

    Works for every task: rows bring scores of their own, such as F1 of an answer, or parts of a
    score of the whole, such as BLEU. The verdict is on --by, else on the first metric, accuracy for
    classes: better, worse, or not distinguishable when the interval of the difference holds zero.

    \b
    Examples:
      luban compare scores/bag scores/minilm
      luban compare runs/old runs/new test.jsonl.gz --gate
      luban compare scores/qa-1 scores/qa-2 --by exact_match
    """
    from luban.cli.evaluate import run_scoring
    from luban.errors import GateError
    from luban.evaluate.compare import compare as compare_scores
    from luban.evaluate.intervals import Plan
    from luban.log import Log

    log = Log(as_json=as_json)
    plan = Plan(resamples, confidence, seed)
    with tempfile.TemporaryDirectory() as temporary:
        folders = [first, second]
        if data is not None:
            folders = [Path(temporary) / name for name in ("first", "second")]
            for model, out in zip((first, second), folders, strict=True):
                run_scoring(model, data, out, Log(quiet=True), split)
        comparison = compare_scores(folders[0], folders[1], plan, by)
    if as_json:
        log.result({"first": str(first), "second": str(second), **comparison.plain()})
    else:
        _print(first, second, comparison)
    if gate and comparison.verdict == "worse":
        lost = comparison.differences[comparison.decided_by]
        raise GateError(
            f"{second} is worse than {first}: "
            f"{comparison.decided_by} {lost.second:.4f} against {lost.first:.4f}",
            fix="keep the first, or find out what the second lost",
        )


def _print(first: Path, second: Path, comparison: Any) -> None:
    from luban.cli.scores import print_table

    rows = [
        (
            name,
            f"{d.first:.4f}",
            f"{d.second:.4f}",
            f"{d.value:+.4f}",
            f"{d.p_value:.3f}",
            "one row tells nothing" if d.n == 1 else f"{d.low:+.4f} to {d.high:+.4f}",
        )
        for name, d in comparison.differences.items()
    ]
    print_table(("score", "first", "second", "second − first", "p", "interval"), rows)
    told = {"better": "is better than", "worse": "is worse than"}.get(
        comparison.verdict, "cannot be told from"
    )
    print(
        f"\n{second} {told} {first} by {comparison.decided_by} on {comparison.n} rows: {comparison.verdict}"
    )
