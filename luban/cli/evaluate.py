"""`luban evaluate`: score a model on labelled rows, or a language model on token shards."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import typer

DETAILS = ("metrics", "signature")


def evaluate(
    folder: Path = typer.Argument(help="Model folder: ours, a bag baseline, or a Hugging Face classifier."),
    data: Path = typer.Argument(
        help="Labelled rows (jsonl, csv, tsv, parquet; .gz too), or a shards folder."
    ),
    split: str = typer.Option("test", help="Which rows, if the file says: test, validation or train."),
    out: Path | None = typer.Option(None, help="Keep scores.json and predictions.jsonl in this folder."),
    config: Path | None = typer.Option(None, help="YAML file with settings under `evaluate:`."),
    sets: list[str] = typer.Option(
        [], "--set", help="evaluate.KEY=VALUE, such as evaluate.columns.text=body."
    ),
    dry_run: bool = typer.Option(False, "--dry-run", help="Print settings and time; score nothing."),
    as_json: bool = typer.Option(
        False, "--json", help="JSON lines; the last has the metrics and the signature."
    ),
) -> None:
    """Score FOLDER on DATA: every score with a bootstrap interval and a signature.

    If DATA has a split column, only the rows of --split are scored. A file without one is scored
    whole, unless the model was trained on this very file: then only the rows that training held out
    are scored. A row whose label the model has never seen counts as an error.

    \b
    Examples:
      luban evaluate runs/x test.jsonl.gz
      luban evaluate runs/x rows.csv --split validation --json
      luban evaluate runs/lm data/shards
    """
    from luban.cli.scores import print_scores
    from luban.log import Log

    log = Log(as_json=as_json)
    with tempfile.TemporaryDirectory() as temporary:
        scores = run_scoring(
            folder, data, out or Path(temporary) / "scores", log, split, config, sets, dry_run
        )
    if scores is None:
        return
    if as_json:
        log.result({key: scores[key] for key in DETAILS})
    else:
        print_scores(scores)


def run_scoring(
    folder: Path,
    data: Path,
    out: Path,
    log: Any,
    split: str = "test",
    config: Path | None = None,
    sets: list[str] | None = None,
    dry_run: bool = False,
) -> dict[str, Any] | None:
    """Run the stage `evaluate` and return its scores; None after a dry run."""
    from luban.cli.stage import one_stage, run_stage

    given = [f"evaluate.split={split}", *(sets or [])]
    inputs = {"model": folder, "data": data}
    recipe = one_stage("evaluate", "evaluate", inputs, out, config=config, sets=given)
    result = run_stage(recipe, log, dry_run=dry_run)
    return result.manifest.facts if result else None
