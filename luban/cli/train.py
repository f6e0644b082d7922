"""`luban train`: a model for any of the tasks."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from luban.log import Log
    from luban.recipe import Recipe
    from luban.runner import Result
    from luban.tasks.task import Task


def _tasks_help() -> str:
    from luban.tasks.task import all_tasks

    return "; ".join(f"{task.name}: {task.summary}" for task in all_tasks().values() if task.is_trained) + "."


def train(
    task: str = typer.Option(metavar="TASK", help=_tasks_help()),
    data: list[Path] = typer.Option(
        help="Rows of the task (jsonl, csv, tsv, parquet; .gz too), or a shards folder, or several to mix; "
        "for vectors: texts, one or more."
    ),
    out: Path = typer.Option(help="Folder to write: a Hugging Face model folder."),
    model: str | None = typer.Option(None, help="Model folder to start from: ours or a Hugging Face one."),
    tokenizer: Path | None = typer.Option(None, help="Tokenizer folder, instead of one trained on the rows."),
    vectors: Path | None = typer.Option(
        None, help="For classify: word vectors to start from, a file or a folder that vectors wrote."
    ),
    eval_data: Path | None = typer.Option(None, "--eval", help="Rows to validate on, when DATA has none."),
    method: str | None = typer.Option(None, help="What learns, such as full or lora."),
    config: Path | None = typer.Option(None, help="YAML file with settings under `train:`."),
    sets: list[str] = typer.Option([], "--set", help="train.KEY=VALUE, such as train.lr=2e-5."),
    folds: int | None = typer.Option(
        None, help="For classify: cross-validate: train so many times, each time validating on another part."
    ),
    find_lr: bool = typer.Option(
        False, "--find-lr", help="Try learning rates on a copy of the model, draw the losses; train nothing."
    ),
    dry_run: bool = typer.Option(False, "--dry-run", help="Print settings and time; train nothing."),
    as_json: bool = typer.Option(False, "--json", help="JSON lines; the last has the scores."),
    nproc: int = typer.Option(1, min=1, help="Processes on this host that train together."),
    nnodes: int = typer.Option(1, min=1, help="Hosts; give the same command on each."),
    rendezvous: str | None = typer.Option(None, help="HOST:PORT where the hosts meet; HOST is one of them."),
    max_restarts: int = typer.Option(3, min=0, help="How often all start again after one has died."),
    wait_seconds: int = typer.Option(600, min=1, help="How long the hosts wait for each other."),
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
      luban train --task pretrain --data en --data zh --out runs/lm --set train.mixture.temperature=3
      luban train --task chat --data talks.jsonl.gz --model FOLDER --method lora --out runs/chat
      luban train --task vectors --data texts/ --data more.txt.gz --out runs/words
    """
    from luban.cli.stage import one_stage, run_stage
    from luban.log import Log
    from luban.tasks.task import find_task

    log, known = Log(as_json=as_json), find_task(task)
    inputs = stage_inputs(
        known, data, {"model": model, "tokenizer": tokenizer, "vectors": vectors, "eval": eval_data}
    )
    chosen = [] if method is None else [f"train.method={method}"]

    def recipe_of(folder: Path, more: list[str]) -> Recipe:
        return one_stage(task, "train", inputs, folder, config=config, sets=[*chosen, *sets, *more])

    if folds is not None:
        _cross_validate(known, recipe_of, folds, out, log)
        return
    if find_lr:
        from luban.cli.find_lr import search_lr

        search_lr(recipe_of(out, []), out, log)
        return
    result = run_stage(recipe_of(out, []), log, dry_run=dry_run)
    if result is not None:
        _close(known, result, log)


def _close(task: Task, result: Result, log: Log) -> None:
    """Say what came of the run."""
    from luban.tasks.task import Closed, Trained

    facts, out = result.manifest.facts, result.task.out
    inputs = {name: Path(path) for name, path in result.task.inputs.items()}
    close = task.load("close")
    usual = Closed({"out": str(out), "first": facts.get("first"), "best": facts.get("best")})
    closed: Closed = close(Trained(out, facts, result.task.settings, inputs)) if close else usual
    if log.as_json:
        log.result(closed.result)
        return
    if closed.table:
        from luban.cli.scores import print_table

        print_table(closed.header, closed.table)
    for line in closed.lines:
        print(line)
    _say_gap(result)


def _cross_validate(
    task: Task, recipe_of: Callable[[Path, list[str]], Recipe], folds: int, out: Path, log: Log
) -> None:
    from luban.cli.folds import run_folds
    from luban.errors import ConfigError

    if not hasattr(recipe_of(out, []).tasks[0].settings, "folds"):
        raise ConfigError(f"--task {task.name} takes no --folds", fix="leave --folds out")
    if "RANK" in os.environ:
        raise ConfigError("--folds trains one fold after the other in one process", fix="leave --nproc out")
    run_folds(recipe_of, folds, out, log)


def stage_inputs(task: Task, data: list[Path], others: dict[str, Path | str | None]) -> dict[str, Any]:
    """Name the stage's inputs, and refuse those that it does not take."""
    from luban.errors import ConfigError
    from luban.recipe import numbered

    if not task.is_trained:
        raise ConfigError(f"the task {task.name} is scored, not trained", fix="luban evaluate FOLDER DATA")
    taken = (*task.needs, *task.takes)
    for name, value in others.items():
        if value is not None and name not in taken:
            raise ConfigError(f"--task {task.name} takes no --{name}", fix=f"leave --{name} out")
    for name in task.needs:
        if others[name] is None:
            raise ConfigError(
                f"--task {task.name} tunes a {name}, and none is given", fix=f"name one: --{name} FOLDER"
            )
    rest = {name: others[name] for name in taken}
    if task.many:
        return {**numbered(task.data, data), **rest}
    if len(data) > 1:
        raise ConfigError(
            f"--task {task.name} takes one --data, not {len(data)}", fix="put the rows into one file"
        )
    return {task.data: data[0], **rest}


def _say_gap(result: Result) -> None:
    """Print how far training rows score above validation rows, and what that suggests."""
    from luban.report.gap import gap_of

    gap = gap_of(result.manifest.facts, result.manifest.settings)
    if gap:
        print(gap.english)
