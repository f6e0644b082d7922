"""The stage graph: which stage reads which folder, and the key that says whether to run it again.

A recipe is a YAML file::

    recipe: my-run
    out: runs/my-run
    stages:
      clean: {use: clean, from: {raw: texts/}, min_chars: 40}
      dedup: {use: dedup, from: {documents: clean}}

`use` names a stage of `stages.STAGES`, `from` names its inputs: an earlier stage, a path,
`bundled:PATH` for data that ships with Luban, or `package:MODULE/PATH` for a file of an installed
package; for raw texts a list of them, too. `into` names the output folder when it is not the stage's
own name. Everything else is a setting of that stage.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from luban.config import Tree, fill, load_yaml, nearest, override, resolved
from luban.errors import ConfigError
from luban.places import find_input
from luban.stages import STAGES, Stage

RECIPE = "recipe.yaml"


@dataclass(frozen=True, slots=True)
class Task:
    """One stage of a recipe with its settings and inputs resolved."""

    name: str
    stage: Stage
    settings: Any
    inputs: Mapping[str, str]
    """Input name → name of an earlier task, or the path as written."""
    out: Path


@dataclass(frozen=True, slots=True)
class Recipe:
    """A named graph of tasks, in an order in which each follows its inputs."""

    name: str
    out: Path
    tasks: tuple[Task, ...]

    def task(self, name: str) -> Task:
        """Return the task with this name."""
        return next(t for t in self.tasks if t.name == name)

    def ancestry(self, name: str) -> tuple[Task, ...]:
        """Return the task and all that it is made from, in order."""
        wanted = {name}
        for task in reversed(self.tasks):
            if task.name in wanted:
                wanted |= set(task.inputs.values())
        return tuple(t for t in self.tasks if t.name in wanted)


def load_recipe(source: str | Path, sets: list[str] | None = None, out: Path | None = None) -> Recipe:
    """Read a recipe file, or a bundled recipe by name, and apply `key=value` overrides."""
    path = find_recipe(source)
    tree = load_yaml(path)
    stages = tree.branch("stages")
    if not isinstance(tree.data.get("stages"), dict):
        raise ConfigError(f"{path} has no `stages:`", fix="list the stages to run under `stages:`")
    for key in tree.data:
        if key not in ("recipe", "out", "stages"):
            raise ConfigError(
                f"{tree.place((key,))}: unknown setting {key}", fix=nearest(key, ("recipe", "out", "stages"))
            )
    stages = _checked_override(stages, sets or [])
    name = str(tree.data.get("recipe", path.stem))
    return build_recipe(name, out or Path(tree.data.get("out", f"runs/{name}")), stages)


def find_recipe(source: str | Path) -> Path:
    """Return the path of a recipe: a file as given, or one bundled under that name."""
    path = Path(source)
    if path.is_file():
        return path
    bundled = sorted((Path(__file__).parent / "bundled" / "recipes").glob("*.yaml"))
    for candidate in bundled:
        if path.stem == candidate.stem and len(path.parts) <= 2:
            return candidate
    names = ", ".join(p.stem for p in bundled)
    raise ConfigError(
        f"{source} is not a recipe file, nor the name of a bundled one",
        fix=f"name a YAML file, or one of: {names}",
    )


def _checked_override(stages: Tree, sets: list[str]) -> Tree:
    for text in sets:
        first = text.partition("=")[0].partition(".")[0]
        if first not in stages.data:
            raise ConfigError(
                f"--set {text}: the recipe has no stage {first}", fix=nearest(first, stages.data)
            )
    return override(stages, sets)


def build_recipe(name: str, out: Path, stages: Tree) -> Recipe:
    """Check every stage's settings and inputs, and put the stages in order."""
    tasks = {}
    for task_name in stages.data:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", task_name):
            raise ConfigError(
                f"{stages.place((task_name,))}: {task_name!r} cannot name a stage",
                fix="use letters, digits, - and _",
            )
        tasks[task_name] = _build_task(task_name, stages, out)
    return Recipe(name, out, _in_order(tasks))


def _build_task(name: str, stages: Tree, out: Path) -> Task:
    if not isinstance(stages.data[name], dict):
        raise ConfigError(f"{stages.place((name,))}: stage {name} has no settings", fix="write `use: STAGE`")
    given = stages.data[name]
    use = given.get("use", name)
    if use not in STAGES:
        raise ConfigError(
            f"{stages.place((name, 'use'))}: {name}.use = {use!r} is not a stage",
            fix=nearest(str(use), STAGES),
        )
    stage = STAGES[use]
    inputs = given.get("from") or {}
    if not isinstance(inputs, dict):
        raise ConfigError(
            f"{stages.place((name, 'from'))}: {name}.from = {inputs!r} does not say which input it is",
            fix=f"write from: {{{', '.join(f'{i}: ...' for i in stage.inputs)}}}",
        )
    inputs = _numbered(stage, inputs)
    for key in inputs:
        if key not in (*stage.inputs, *stage.optional) and key.partition(":")[0] not in stage.many:
            raise ConfigError(
                f"{stages.place((name, 'from', key))}: stage {use} has no input {key}",
                fix=nearest(key, (*stage.inputs, *stage.optional)),
            )
    for key in stage.inputs:
        if not inputs.get(key):
            raise ConfigError(
                f"{stages.place((name,))}: stage {name} lacks its input {key}",
                fix=f"write from: {{{key}: a path or an earlier stage}}",
            )
    own = stages.branch(name, without=("use", "from", "into"))
    settings = fill(stage.settings_class(), own, name)
    folder = out / str(given.get("into", name))
    return Task(name, stage, settings, {k: str(v) for k, v in inputs.items() if v}, folder)


def _numbered(stage: Stage, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Spell out a list of paths as NAME, NAME:2, ... where the stage takes many."""
    spelt: dict[str, Any] = {}
    for key, value in inputs.items():
        if isinstance(value, list) and key in stage.many:
            spelt.update(numbered(key, value))
        else:
            spelt[key] = value
    return spelt


def numbered(name: str, values: Sequence[Any]) -> dict[str, Any]:
    """Return NAME, NAME:2, ... → the values.

    numbered("raw", ["a", "b"]) -> {"raw": "a", "raw:2": "b"}
    """
    return {name if i == 1 else f"{name}:{i}": value for i, value in enumerate(values, start=1)}


def _in_order(tasks: dict[str, Task]) -> tuple[Task, ...]:
    done: dict[str, Task] = {}

    def visit(name: str, waiting: tuple[str, ...]) -> None:
        if name in waiting:
            raise ConfigError(
                f"stages wait for each other: {' → '.join((*waiting, name))}", fix="break the circle"
            )
        for source in tasks[name].inputs.values():
            if source in tasks and source not in done:
                visit(source, (*waiting, name))
        done[name] = tasks[name]

    for name in tasks:
        if name not in done:
            visit(name, ())
    return tuple(done.values())


def write_recipe(recipe: Recipe, task: Task, path: Path) -> None:
    """Write the part of the recipe that makes `task`, every setting resolved, as a runnable file."""
    stages = {}
    names = {t.name for t in recipe.tasks}
    for t in recipe.ancestry(task.name):
        inputs = {k: v if v in names else input_as_written(v) for k, v in t.inputs.items()}
        into = {"into": t.out.name} if t.out.name != t.name else {}
        stages[t.name] = {"use": t.stage.name, "from": inputs, **into, **resolved(t.settings)}
    document = {"recipe": recipe.name, "out": str(recipe.out.absolute()), "stages": stages}
    path.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8")


def input_as_written(value: str) -> str:
    """Return an input that means the same from any working directory."""
    return value if value.startswith(("bundled:", "package:")) else str(find_input(value).absolute())
