"""Run the stages of a recipe whose inputs, settings or code have changed; reuse the others."""

from __future__ import annotations

import contextlib
import platform
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from luban.config import resolved
from luban.errors import ConfigError, DataError
from luban.files import (
    MANIFEST,
    Manifest,
    disk_errors,
    hash_json,
    hash_path,
    list_files,
    locked,
    partial_folder,
    publish,
    read_json,
    remove_partials,
    write_json,
)
from luban.files import UNFINISHED as UNFINISHED
from luban.log import Log
from luban.places import code_version, find_input
from luban.recipe import RECIPE, Recipe, Task, write_recipe
from luban.stages import WITHOUT_EFFECT

Status = Literal["reused", "run", "resume"]


@dataclass(frozen=True, slots=True)
class Plan:
    """What will happen to one task, and the key that decided it."""

    task: Task
    key: str
    code: str
    status: Status
    inputs: Mapping[str, Path]
    input_keys: Mapping[str, str]
    earlier: Manifest | None
    """What the output folder holds now, whether or not it is still right."""


@dataclass(frozen=True, slots=True)
class Result:
    """What happened to one task."""

    task: Task
    status: Status
    manifest: Manifest


def plan_recipe(recipe: Recipe) -> list[Plan]:
    """Say for every task whether its output can be reused; reads and hashes, writes nothing."""
    keys: dict[str, str] = {}
    by_name = {t.name: t for t in recipe.tasks}
    plans = []
    for task in recipe.tasks:
        inputs, input_keys = {}, {}
        for name, value in task.inputs.items():
            if value in by_name:
                inputs[name], input_keys[name] = by_name[value].out, keys[value]
            else:
                inputs[name] = find_input(value)
                input_keys[name] = input_key(inputs[name])
        code = code_version(task.stage.module)
        key = hash_json(
            {
                "stage": task.stage.name,
                "code": code,
                "settings": _with_effect(resolved(task.settings)),
                "inputs": input_keys,
            }
        )
        keys[task.name] = key
        earlier = Manifest.read(task.out)
        status: Status = "run"
        if earlier and earlier.key == key and earlier.is_whole(task.out):
            status = "reused"
        elif task.stage.resumable and partial_folder(task.out, key).exists():
            status = "resume"
        plans.append(Plan(task, key, code, status, inputs, input_keys, earlier))
    return plans


def input_key(path: Path) -> str:
    """Return the key of an input from outside the recipe: its manifest's, or its content's."""
    manifest = Manifest.read(path) if path.is_dir() else None
    if manifest is None:
        return hash_path(path)
    if not manifest.is_whole(path):
        raise DataError(f"{path} is not as its {MANIFEST} says", fix="make it again with `luban run`")
    return manifest.key


def run_recipe(recipe: Recipe, log: Log) -> list[Result]:
    """Bring every output of the recipe up to date and return what was done for each."""
    with _hold(recipe):
        plans = plan_recipe(recipe)
        for plan in plans:
            with disk_errors(plan.task.out):
                _refuse_out(plan)
        return [_run(recipe, plan, log) for plan in plans]


@contextlib.contextmanager
def _hold(recipe: Recipe) -> Iterator[None]:
    locks = recipe.out / ".locks"
    with contextlib.ExitStack() as stack:
        with disk_errors(recipe.out):
            locks.mkdir(parents=True, exist_ok=True)
        for task in recipe.tasks:
            stack.enter_context(locked(locks / task.out.name, naming=task.out))
        yield


def _run(recipe: Recipe, plan: Plan, log: Log) -> Result:
    task = plan.task
    if plan.status == "reused" and plan.earlier:
        log.say(f"{task.name}: reused", stage=task.name, status="reused", out=str(task.out))
        return Result(task, "reused", plan.earlier)
    partial = partial_folder(task.out, plan.key)
    if task.stage.resumable and plan.status == "run":
        take_over(plan, partial, log)
    verb = "going on" if plan.status == "resume" else "running"
    log.say(f"{task.name}: {verb} ({task.stage.name})", stage=task.name, status=plan.status)
    remove_partials(task.out, keep=partial if task.stage.resumable else None)
    with disk_errors(task.out):
        partial.mkdir(parents=True, exist_ok=True)
        write_json(partial / UNFINISHED, _what_it_is(plan))
    start, started = time.perf_counter(), datetime.now(timezone.utc)
    function = task.stage.load()
    try:
        with disk_errors(task.out):
            facts = function(task.settings, plan.inputs, partial, log)
    except BaseException:
        if not task.stage.resumable:
            shutil.rmtree(partial, ignore_errors=True)
        raise
    with disk_errors(task.out):
        write_recipe(recipe, task, partial / RECIPE)
        (partial / UNFINISHED).unlink()
    manifest = Manifest(
        stage=task.stage.name,
        name=task.name,
        key=plan.key,
        settings=resolved(task.settings),
        inputs={k: {"path": str(p), "key": plan.input_keys[k]} for k, p in plan.inputs.items()},
        facts=facts,
        files=list_files(partial),
        seconds=round(time.perf_counter() - start, 3),
        started=started.isoformat(timespec="seconds"),
        command=sys.argv,
        versions=_versions(),
        code=plan.code,
    )
    write_json(partial / MANIFEST, {"counts": facts.get("counts", {}), **asdict(manifest)})
    publish(partial, task.out)
    log.say(f"{task.name}: done in {manifest.seconds:.1f} s → {task.out}", stage=task.name, status="done")
    return Result(task, plan.status, manifest)


def take_over(plan: Plan, partial: Path, log: Log) -> None:
    """Decide about a run that was stopped here under other settings, inputs or code.

    It is refused unless the settings' `on_change` says "continue" or "restart": hours of training are
    never dropped without a word.
    """
    out, word = plan.task.out, plan.task.settings.on_change
    for folder in sorted(out.parent.glob(f"{out.name}.partial-*")):
        if not (folder / UNFINISHED).is_file() or not any(folder.glob("checkpoints/*")):
            continue
        changed = _differences(read_json(folder / UNFINISHED), _what_it_is(plan))
        if word == "refuse":
            name = plan.task.name
            raise ConfigError(
                f"{folder} is an unfinished run, and this one differs: {'; '.join(changed)}",
                fix=f"set it back, or --set {name}.on_change=continue to go on with it as it is now, or "
                f"--set {name}.on_change=restart to drop it",
            )
        if word == "restart":
            log.say(f"{plan.task.name}: dropping an unfinished run, {folder}: {'; '.join(changed)}")
        if word == "continue":
            log.say(f"{plan.task.name}: going on from another run's checkpoints: {'; '.join(changed)}")
            with disk_errors(out):
                folder.rename(partial)
            return


def _with_effect(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name not in WITHOUT_EFFECT}


def _refuse_out(plan: Plan) -> None:
    """Refuse to put an output where something lies that no stage has made, or that the stage reads."""
    out, fix = plan.task.out, "choose another folder for the output"
    if not out.name:
        raise ConfigError(f"the output folder {out} has no name of its own", fix=fix)
    place = out.resolve()
    for name, path in plan.inputs.items():
        if place == path.resolve() or place in path.resolve().parents:
            raise ConfigError(f"the output {out} would replace what is read: {name} = {path}", fix=fix)
    if out.is_dir() and (Manifest.read(out) is not None or not any(out.iterdir())):
        return
    if out.exists() or out.is_symlink():
        raise ConfigError(f"{out} exists, and was not made by a stage: it will not be replaced", fix=fix)


def _what_it_is(plan: Plan) -> dict[str, Any]:
    return {
        "stage": plan.task.stage.name,
        "name": plan.task.name,
        "settings": resolved(plan.task.settings),
        "inputs": dict(plan.input_keys),
        "code": plan.code,
    }


def _differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    old, new = before["settings"], now["settings"]
    changed = [
        f"{key} was {old.get(key)}, now {new.get(key)}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key) and key not in WITHOUT_EFFECT
    ]
    changed += [
        f"the input {key} has changed"
        for key in now["inputs"]
        if before["inputs"].get(key) != now["inputs"][key]
    ]
    return changed + (["Luban's code for it has changed"] if before["code"] != now["code"] else [])


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for package in ("luban", "torch", "numpy", "tokenizers", "safetensors"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def why(folder: Path) -> list[tuple[int, Path, Manifest | None, str]]:
    """Return the chain that made a folder as (depth, path, manifest, note), nearest first.

    The note says when an input has changed since the folder was made.
    """
    chain: list[tuple[int, Path, Manifest | None, str]] = []

    def visit(path: Path, key: str | None, depth: int) -> None:
        manifest = Manifest.read(path) if path.is_dir() else None
        note = ""
        if not path.exists():
            note = "gone"
        elif key and (manifest.key if manifest else hash_path(path)) != key:
            note = "changed since"
        elif manifest and not manifest.is_whole(path):
            note = "not whole"
        chain.append((depth, path, manifest, note))
        for source in manifest.inputs.values() if manifest else ():
            visit(Path(source["path"]), source["key"], depth + 1)

    if not folder.exists():
        raise DataError(f"{folder} does not exist", fix="name a folder that a stage wrote")
    visit(folder, None, 0)
    return chain
