"""`luban train`: a classifier, a language model, a chat model, or word vectors."""

from __future__ import annotations

import os
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from luban.log import Log
    from luban.recipe import Recipe
    from luban.runner import Result


class TaskName(str, Enum):
    """What to train."""

    classify = "classify"
    pretrain = "pretrain"
    chat = "chat"
    bag = "bag"
    vectors = "vectors"


TAKES = {
    TaskName.classify: ("model", "tokenizer", "vectors", "eval"),
    TaskName.pretrain: ("model",),
    TaskName.chat: ("model", "eval"),
    TaskName.bag: ("eval",),
    TaskName.vectors: (),
}
"""Options that are inputs of the task, beside its data."""


MANY = {TaskName.pretrain: "shards", TaskName.vectors: "data"}
"""Tasks that take several --data, and what the stage calls them."""


def train(
    task: TaskName = typer.Option(
        help="classify: labels for texts; bag: its baseline; pretrain: a model of texts; chat: one that "
        "answers; vectors: of words."
    ),
    data: list[Path] = typer.Option(
        help="Labelled rows or conversations (jsonl, csv, tsv, parquet; .gz too), or a shards folder, or "
        "several to mix; for vectors: texts, one or more."
    ),
    out: Path = typer.Option(help="Folder to write: a Hugging Face model folder."),
    model: str | None = typer.Option(None, help="Model folder to start from: ours or a Hugging Face one."),
    tokenizer: Path | None = typer.Option(None, help="Tokenizer folder, instead of one trained on the rows."),
    vectors: Path | None = typer.Option(
        None, help="For classify: word vectors to start from, a file or a folder that vectors wrote."
    ),
    eval_data: Path | None = typer.Option(None, "--eval", help="Rows to validate on, when DATA has none."),
    method: str | None = typer.Option(None, help="For chat: what learns, lora or full."),
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

    log = Log(as_json=as_json)
    inputs = stage_inputs(
        task, data, {"model": model, "tokenizer": tokenizer, "vectors": vectors, "eval": eval_data}
    )

    chosen = [] if method is None else [f"train.method={method}"]

    def recipe_of(folder: Path, more: list[str]) -> Recipe:
        return one_stage(task.value, "train", inputs, folder, config=config, sets=[*chosen, *sets, *more])

    if folds is not None:
        _cross_validate(task, recipe_of, folds, out, log)
        return
    if find_lr:
        from luban.cli.find_lr import search_lr

        search_lr(recipe_of(out, []), out, log)
        return
    result = run_stage(recipe_of(out, []), log, dry_run=dry_run)
    if result is not None:
        _close(task, result, data[0], eval_data, log)


def _close(task: TaskName, result: Result, data: Path, eval_data: Path | None, log: Log) -> None:
    """Say what came of the run."""
    if task is TaskName.pretrain:
        _close_pretrain(result, log)
    elif task is TaskName.chat:
        _close_chat(result, log)
    elif task is TaskName.vectors:
        _close_vectors(result, log)
    else:
        _close_classify(result, result.task.out, data, eval_data, log)
    _say_gap(result, log)


def _cross_validate(
    task: TaskName, recipe_of: Callable[[Path, list[str]], Recipe], folds: int, out: Path, log: Log
) -> None:
    from luban.cli.folds import run_folds
    from luban.errors import ConfigError

    if task is not TaskName.classify:
        raise ConfigError(f"--task {task.value} takes no --folds", fix="leave --folds out")
    if "RANK" in os.environ:
        raise ConfigError("--folds trains one fold after the other in one process", fix="leave --nproc out")
    run_folds(recipe_of, folds, out, log)


def stage_inputs(task: TaskName, data: list[Path], others: dict[str, Path | str | None]) -> dict[str, Any]:
    """Name the stage's inputs, and refuse those that it does not take."""
    from luban.errors import ConfigError
    from luban.recipe import numbered

    taken = TAKES[task]
    for name, value in others.items():
        if value is not None and name not in taken:
            raise ConfigError(f"--task {task.value} takes no --{name}", fix=f"leave --{name} out")
    if task in MANY:
        return {**numbered(MANY[task], data), **{k: others[k] for k in taken}}
    if len(data) > 1:
        raise ConfigError(
            f"--task {task.value} takes one --data, not {len(data)}", fix="put the rows into one file"
        )
    if task is TaskName.chat and others["model"] is None:
        raise ConfigError(
            "--task chat tunes a model, and none is given",
            fix="name one that was made for chat: --model FOLDER",
        )
    return {"data": data[0], **{k: others[k] for k in taken}}


def _say_gap(result: Result, log: Log) -> None:
    """Print how far training rows score above validation rows, and what that suggests."""
    from luban.report.gap import gap_of

    gap = gap_of(result.manifest.facts, result.manifest.settings)
    if gap and not log.as_json:
        print(gap.english)


def _close_pretrain(result: Result, log: Log) -> None:
    facts = result.manifest.facts
    if log.as_json:
        log.result({"out": str(result.task.out), "first": facts.get("first"), "best": facts.get("best")})
        return
    first, best = facts["first"], facts["best"]
    if "bits_per_byte" in best:
        before, now = first["bits_per_byte"], best["bits_per_byte"]
        print(f"bits per byte on validation: {before:.3f} before, {now:.3f} now")
        print(f'luban generate {result.task.out} "..."')
    else:
        before, now = f"{first['accuracy']:.1%}", f"{best['accuracy']:.1%}"
        print(f"hidden tokens restored on validation ({facts['objective']}): {before} before, {now} now")


def _close_chat(result: Result, log: Log) -> None:
    facts = result.manifest.facts
    if log.as_json:
        log.result({"out": str(result.task.out), "first": facts["first"], "best": facts["best"]})
        return
    before, now = facts["first"]["loss"], facts["best"]["loss"]
    print(f"nats per token of held-out answers: {before:.3f} before, {now:.3f} now")
    print(f"luban serve {result.task.out}")


def _close_vectors(result: Result, log: Log) -> None:
    facts = result.manifest.facts
    if log.as_json:
        log.result({"out": str(result.task.out), "first": facts.get("first"), "best": facts.get("best")})
        return
    best = facts["best"]
    print(f"nats per pair on held-out text: {facts['first']['loss']:.3f} before, {best['loss']:.3f} now")
    shown = [s for s in facts["samples"] if s["step"] == best["step"]]
    for sample in shown:
        print(f"{sample['prompt']}: {sample['text']}")
    word = shown[0]["prompt"] if shown else "WORD"
    print(f"luban inspect neighbours {word} --model {result.task.out}")


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
