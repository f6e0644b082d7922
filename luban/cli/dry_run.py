"""What `luban train` says before it trains: memory by part, speed, time, disk; and what will not fit."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luban.config import resolved
from luban.errors import ConfigError
from luban.log import Log
from luban.runner import Plan

if TYPE_CHECKING:
    from luban.models.config import ModelConfig
    from luban.plan.memory import Load
    from luban.train.probe import Probe


def check_fits(plan: Plan) -> Load | None:
    """Refuse what memory or disk cannot hold, by arithmetic alone; None: the model is chosen later."""
    from luban.plan.memory import load_of, room

    config = _config_of(plan)
    if config is None:
        return None
    load = load_of(config, resolved(plan.task.settings))
    parallel = plan.task.settings.parallel
    if parallel.shard == parallel.tensor == 1:  # a part of a spread model is not worked out here
        _refuse_memory(load.memory.total, room(plan.task.settings.device), load)
    _refuse_disk(load.disk, plan.task.out)
    return load


def forecast(plan: Plan, log: Log) -> None:
    """Take a few steps of the run in a temporary folder, and print what all of it will take."""
    from luban.plan.memory import LOGIT_BYTES, disk_bytes, room

    load, free = check_fits(plan), room(plan.task.settings.device)
    with tempfile.TemporaryDirectory(prefix="luban-dry-run-") as folder:
        found, ready_seconds = _probe(plan, Path(folder))
    settings = plan.task.settings
    disk = disk_bytes(
        found.parameters, found.trainable, found.optimizer, bool(settings.ema_decay), settings.keep_last
    )
    logits = 0 if load is None else min(found.rest, load.memory.logits, LOGIT_BYTES)
    row = dataclasses.asdict(found) | {
        "logits": logits,
        "rest": found.rest - logits,
        "ready_seconds": round(ready_seconds, 1),
        "seconds": round(ready_seconds + found.seconds, 1),
        "disk": disk,
        "free_memory": free,
        "free_disk": _free_disk(plan.task.out),
    }
    if log.as_json:
        log.result(row)
    else:
        _print(row)
    _refuse_memory(found.peak, free, load)
    _refuse_disk(disk, plan.task.out)
    _refuse_unproven(plan)


def _refuse_unproven(plan: Plan) -> None:
    """Refuse what the gate would refuse: a run that `luban certify` has found broken."""
    from luban.train.certificate import would_refuse

    task = plan.task
    what = {"stage": task.stage.name, "name": task.name, "settings": resolved(task.settings)}
    what |= {"inputs": dict(plan.input_keys), "code": plan.code}
    if refused := would_refuse(what, task.settings.unproven):
        raise refused


def _probe(plan: Plan, folder: Path) -> tuple[Probe, float]:
    """Return what was measured, and the seconds until the run was ready to be measured."""
    from luban.tasks.prepared import preparation
    from luban.train.probe import probe

    prepare, start = preparation(plan.task.stage.name), time.perf_counter()
    with _silence():
        run = prepare(plan.task.settings, plan.inputs, folder, Log(quiet=True)).run
        ready_seconds = time.perf_counter() - start
        return probe(run), ready_seconds


@contextlib.contextmanager
def _silence() -> Any:
    """Keep bars and warnings of libraries from between the lines."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
        yield


def _config_of(plan: Plan) -> ModelConfig | None:
    """Return the config of the model that a stage would train, where the settings alone say it."""
    from luban.models.config import HeadConfig
    from luban.models.families import FAMILIES
    from luban.models.folder import read_config
    from luban.tasks.task import find_task

    settings, kind = plan.task.settings, (*find_task(plan.task.stage.name).heads, "tokens")[0]
    few: dict[str, Any] = {"n_classes": 2, "labels": ("0", "1")} if kind in ("classes", "tags") else {}
    head = HeadConfig(kind=kind, **few) if kind != "tokens" else None  # type: ignore[arg-type]
    if "model" in plan.inputs:
        config = read_config(plan.inputs["model"])
        return config if head is None else dataclasses.replace(config, head=head)
    model = getattr(settings, "model", None)
    if model is None:
        return None
    chosen = {k: v for k, v in dataclasses.asdict(model).items() if v is not None}
    family, size = FAMILIES[chosen.pop("family")], chosen.pop("size")
    return family.config(size, vocab_size=_vocab_size(plan), head=head, **chosen)


def _vocab_size(plan: Plan) -> int:
    from luban.tokenizer import load_tokenizer

    folder = plan.inputs.get("tokenizer") or plan.inputs.get("shards", Path()) / "tokenizer"
    if (folder / "tokenizer.json").is_file():
        return load_tokenizer(folder).vocab_size
    return int(getattr(plan.task.settings, "vocab_size", 0)) or 1


def _refuse_memory(needed: int, free: int, load: Load | None) -> None:
    from luban.plan.memory import what_fits

    if free and needed > free:
        fix = what_fits(load, free) if load else "set smaller micro-batches, and more of them"
        raise ConfigError(
            f"training needs about {_size(needed)} of memory, and {_size(free)} are free", fix=fix
        )


def _refuse_disk(needed: int, out: Path) -> None:
    free = _free_disk(out)
    if needed > free:
        raise ConfigError(
            f"checkpoints and model need {_size(needed)} of disk, and {_size(free)} are free for {out}",
            fix="choose another --out, set keep_last = 1, or make room",
        )


def _free_disk(out: Path) -> int:
    place = out.absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def _print(row: dict[str, Any]) -> None:
    from luban.cli.scores import print_table

    n, learn = row["parameters"], row["trainable"]
    print(f"{n:,} parameters, {learn:,} learn, {n - learn:,} rest" if learn < n else f"{n:,} parameters")
    parts = {
        "weights": row["weights"],
        "gradients": row["gradients"],
        "optimizer": row["optimizer"],
        "mean of weights": row["average"],
        "activations": row["activations"],
        "scores of tokens": row["logits"],
        "the rest of the process": row["rest"],
        "in all": row["peak"],
    }
    rows = [(name, _size(size), f"{size / row['peak']:.0%}") for name, size in parts.items() if size]
    print_table(("memory", "", "share"), rows)
    print(f"{_size(row['free_memory'])} are free" if row["free_memory"] else "free memory is not known")
    looks = row["n_looks"] * row["look_seconds"]
    print(
        f"{row['steps']} steps × {row['seconds_per_step']:.3g} s, {row['tokens_per_second']:,.0f} tokens/s, "
        f"and {row['n_looks']} looks × {row['look_seconds']:.2g} s: about {_duration(row['seconds'])}"
        + (f", of which looks {looks / row['seconds']:.0%}" if looks > row["seconds"] / 4 else "")
    )
    print(f"disk: {_size(row['disk'])} with all checkpoints, {_size(row['free_disk'])} are free")
    sys.stdout.flush()


def _size(n_bytes: float) -> str:
    return f"{n_bytes / 1e9:.2f} GB" if n_bytes >= 1e8 else f"{n_bytes / 1e6:.1f} MB"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
