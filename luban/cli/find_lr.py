"""What `luban train --find-lr` does: search for a learning rate, draw what was found, and name the line."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from luban.log import Log
    from luban.recipe import Recipe


def search_lr(recipe: Recipe, out: Path, log: Log) -> None:
    """Try learning rates on a copy of the model; write OUT.lr.svg and OUT.lr.jsonl, train nothing else."""
    from luban.cli.writing import refuse_unwritable
    from luban.errors import ConfigError
    from luban.files import write_jsonl, write_text
    from luban.report.lr_chart import lr_chart
    from luban.runner import plan_recipe
    from luban.tasks.prepared import preparation
    from luban.train.find_lr import find_lr

    plan = plan_recipe(recipe)[0]
    use = plan.task.stage.name
    if not plan.task.stage.trains:
        raise ConfigError(f"--task {use} has no learning rate", fix="leave --find-lr out")
    picture, table = (out.with_name(f"{out.name}.lr.{ending}") for ending in ("svg", "jsonl"))
    for path in (picture, table):
        refuse_unwritable(path)
    with tempfile.TemporaryDirectory(prefix="luban-find-lr-") as folder:
        run = preparation(use)(plan.task.settings, plan.inputs, Path(folder), log).run
        found = find_lr(run, log)
    used = run.settings.lr
    rows = [
        {"lr": lr, "loss": loss, "smoothed": smooth}
        for lr, loss, smooth in zip(found.rates, found.losses, found.smoothed, strict=True)
    ]
    marks = {"suggested": found.suggestion, "now": used}
    write_text(picture, lr_chart(found.rates, found.losses, found.smoothed, marks))
    write_jsonl(table, rows)
    line = f"--set {recipe.tasks[0].name}.lr={found.suggestion:g}"
    if log.as_json:
        log.result(
            {
                "suggestion": found.suggestion,
                "set": line,
                "steepest": found.steepest,
                "lowest": found.lowest,
                "edge": found.edge,
                "exploded": found.exploded,
                "falls": found.falls,
                "lr_now": used,
                "files": [str(picture), str(table)],
            }
        )
        return
    end = (
        f"explodes at {found.exploded:.1e}"
        if found.exploded
        else f"does not explode up to {found.rates[-1]:.1e}"
    )
    if found.falls:
        print(f"the loss falls fastest at {found.steepest:.1e}, is lowest at {found.lowest:.1e}, and {end}")
    else:
        print(f"in so few steps the loss hardly falls; it begins to rise at {found.edge:.1e}, and {end}")
    print(f"use {line}   (now {used:g})")
    print(f"{picture}\n{table}")
