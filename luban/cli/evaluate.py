"""`luban evaluate`: score a model on labelled rows, or a language model on token shards."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import typer

DETAILS = ("metrics", "signature")
PROBES = ("robust", "domains")


def evaluate(
    folder: Path = typer.Argument(help="Model folder: ours, a bag baseline, or a Hugging Face classifier."),
    data: Path | None = typer.Argument(
        None, help="Rows of a task (jsonl, csv, tsv, parquet; .gz too), or a shards folder."
    ),
    split: str = typer.Option("test", help="Which rows, if the file says: test, validation or train."),
    out: Path | None = typer.Option(None, help="Keep scores.json and predictions.jsonl in this folder."),
    robust: str | None = typer.Option(
        None, help="Score perturbed copies too: typos,case,width,script,paraphrase, or some of them."
    ),
    out_of_domain: list[str] = typer.Option(
        [], "--out-of-domain", help="NAME=FILE: score rows from elsewhere too, and tell how much is lost."
    ),
    harness: list[Path] = typer.Option(
        [], "--harness", help="Task file (yaml) of lm-eval, whose data is on this machine; instead of DATA."
    ),
    unsafe_exec: bool = typer.Option(
        False, "--unsafe-exec", help="Run the programs of a model WITHOUT a sandbox, with your rights."
    ),
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

    What the rows are is told by the model's task or by their columns: question, choices and answer are
    multiple choice, sentence_good and sentence_bad minimal pairs, for any model of texts; problems of
    HumanEval and MBPP are written as programs, which run in a sandbox.

    \b
    Examples:
      luban evaluate runs/x test.jsonl.gz
      luban evaluate runs/x rows.csv --split validation --json
      luban evaluate runs/lm data/shards
      luban evaluate runs/lm questions.jsonl.gz --set evaluate.rows=200
      luban evaluate runs/x test.jsonl.gz --robust typos,case --out-of-domain shops=shops.jsonl.gz
      luban evaluate runs/lm --harness tasks/exam.yaml --out scores
    """
    from luban.cli.scores import print_scores
    from luban.errors import ConfigError
    from luban.log import Log

    log = Log(as_json=as_json)
    if harness:
        _run_harness(folder, harness, out, config, sets, as_json)
        return
    if data is None:
        raise ConfigError("nothing to score the model on", fix="name a file of rows, or --harness TASK.yaml")
    given = [*probes(robust, out_of_domain), *(sets or [])]
    given += ["evaluate.code.unsafe_exec=true"] if unsafe_exec else []
    more = {"domain": [text.rpartition("=")[2] for text in out_of_domain]}
    with tempfile.TemporaryDirectory() as temporary:
        scores = run_scoring(
            folder, data, out or Path(temporary) / "scores", log, split, config, given, dry_run, more
        )
    if scores is None:
        return
    if as_json:
        log.result({key: scores[key] for key in (*DETAILS, *PROBES) if key in scores})
    else:
        print_scores(scores)


def probes(robust: str | None, out_of_domain: list[str]) -> list[str]:
    """Return the settings that --robust and --out-of-domain stand for."""
    from luban.errors import ConfigError

    found = []
    if robust is not None:
        found.append(f"evaluate.robust.kinds=[{robust}]")
    names = [text.rpartition("=")[0].strip() for text in out_of_domain]
    if not all(names):
        raise ConfigError(
            f"--out-of-domain {out_of_domain[names.index('')]} names no set",
            fix="write --out-of-domain NAME=FILE",
        )
    return [*found, f"evaluate.domains=[{','.join(names)}]"] if names else found


def _run_harness(
    folder: Path, tasks: list[Path], out: Path | None, config: Path | None, sets: list[str], as_json: bool
) -> None:
    from luban.cli.scores import print_scores
    from luban.cli.stage import one_stage
    from luban.log import Log
    from luban.tasks.harness import run_harness

    recipe = one_stage("evaluate", "evaluate", {}, out or Path("scores"), config=config, sets=sets)
    scores = run_harness(folder, tasks, recipe.tasks[0].settings, out, Log(as_json=as_json))
    if as_json:
        Log(as_json=True).result({key: scores[key] for key in DETAILS})
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
    more: dict[str, list[str]] | None = None,
) -> dict[str, Any] | None:
    """Run the stage `evaluate` and return its scores; None after a dry run."""
    from luban.cli.stage import one_stage, run_stage
    from luban.recipe import numbered

    given = [f"evaluate.split={split}", *(sets or [])]
    inputs: dict[str, Any] = {"model": folder, "data": data}
    for name, paths in (more or {}).items():
        inputs |= numbered(name, paths)
    recipe = one_stage("evaluate", "evaluate", inputs, out, config=config, sets=given)
    result = run_stage(recipe, log, dry_run=dry_run)
    return result.manifest.facts if result else None
