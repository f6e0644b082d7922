"""`luban train`: a classifier from labelled rows, or a language model from token shards."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from luban.log import Log
    from luban.runner import Result


class TaskName(str, Enum):
    """What to train."""

    classify = "classify"
    pretrain = "pretrain"
    bag = "bag"


def train(
    task: TaskName = typer.Option(
        help="classify: labels for texts; bag: its baseline; pretrain: a language model."
    ),
    data: Path = typer.Option(help="Labelled rows (jsonl, csv, tsv, parquet; .gz too), or a shards folder."),
    out: Path = typer.Option(help="Folder to write: a Hugging Face model folder."),
    model: str | None = typer.Option(None, help="Model folder to start from: ours or a Hugging Face one."),
    tokenizer: Path | None = typer.Option(None, help="Tokenizer folder, instead of one trained on the rows."),
    eval_data: Path | None = typer.Option(None, "--eval", help="Rows to validate on, when DATA has none."),
    config: Path | None = typer.Option(None, help="YAML file with settings under `train:`."),
    sets: list[str] = typer.Option([], "--set", help="train.KEY=VALUE, such as train.lr=2e-5."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Print settings and time; train nothing."),
    as_json: bool = typer.Option(False, "--json", help="JSON lines; the last has the scores."),
) -> None:
    """Train a model; stop it at any time, and the same command goes on where it was.

    Columns named text, label and split (or their usual other names, in Chinese too) are found by
    themselves. Without a split column, a tenth of the rows validates and a tenth tests, chosen by
    their content, so that near-duplicates stay together.

    \b
    Examples:
      luban train --task classify --data rows.jsonl.gz --out runs/x
      luban train --task classify --data a.csv --eval b.csv --model FOLDER --set train.lr=2e-5 --out runs/x
      luban train --task pretrain --data data/shards --out runs/lm --set train.steps=500
    """
    from luban.cli.stage import one_stage, run_stage
    from luban.log import Log

    log = Log(as_json=as_json)
    inputs = {"data": data, "model": model, "tokenizer": tokenizer, "eval": eval_data}
    if task is TaskName.pretrain:
        inputs = {"shards": data, "model": model}
        _refuse(task, {"--tokenizer": tokenizer, "--eval": eval_data})
    elif task is TaskName.bag:
        _refuse(task, {"--model": model, "--tokenizer": tokenizer})
    recipe = one_stage(task.value, "train", inputs, out, config=config, sets=sets)
    result = run_stage(recipe, log, dry_run=dry_run)
    if result is None:
        return
    if task is TaskName.pretrain:
        _close_pretrain(result, log)
    else:
        _close_classify(result, out, data, eval_data, log)


def _refuse(task: TaskName, options: dict[str, object]) -> None:
    from luban.errors import ConfigError

    for option, value in options.items():
        if value is not None:
            raise ConfigError(f"--task {task.value} takes no {option}", fix=f"leave {option} out")


def _close_pretrain(result: Result, log: Log) -> None:
    facts = result.manifest.facts
    if log.as_json:
        log.result({"out": str(result.task.out), "first": facts.get("first"), "best": facts.get("best")})
        return
    first, best = facts["first"], facts["best"]
    print(
        f"bits per byte on validation: {first['bits_per_byte']:.3f} before, {best['bits_per_byte']:.3f} now"
    )
    print(f'luban generate {result.task.out} "..."')


def _close_classify(result: Result, out: Path, data: Path, eval_data: Path | None, log: Log) -> None:
    """Score validation and test rows with intervals and print them side by side."""
    from luban.tasks.score import score_held_out

    scores = score_held_out(out, result.task.settings, data, eval_data)
    if log.as_json:
        log.result({"out": str(out), **scores})
        return
    from luban.cli.scores import print_table

    rows = [
        (split, name, f"{s['value']:.4f}", str(s["n"]), f"{s['low']:.4f} to {s['high']:.4f}")
        for split, metrics in scores.items()
        for name, s in metrics.items()
        if name in ("accuracy", "macro_f1", "calibration_error")
    ]
    print_table(("rows", "score", "value", "n", "interval"), rows)
    print(f'\nluban predict {out} --text "..."     luban serve {out}')
