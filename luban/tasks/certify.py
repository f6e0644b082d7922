"""The equivalence certificate: what a run relies on, proven with its own settings and data, model small."""

from __future__ import annotations

import dataclasses
import math
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from luban.config import resolved
from luban.errors import ConfigError, DataError
from luban.files import Manifest
from luban.log import Log
from luban.recipe import Recipe
from luban.runner import Plan, plan_recipe
from luban.stages import trained_stages
from luban.tasks.exported import adapter_merges, exported
from luban.tasks.prepared import preparation
from luban.tasks.shrink import original_name, shrunk_builder
from luban.train.certificate import certificate_key, keep_certificate
from luban.train.proofs.accumulation import accumulated
from luban.train.proofs.faster import compiled, recomputed
from luban.train.proofs.isolation import packed
from luban.train.proofs.resuming import resumed
from luban.train.proofs.sampling import sampled
from luban.train.proofs.subject import Finding, Result, Subject, prove
from luban.train.run import Run
from luban.train.settings import Proof

PROOFS: dict[Proof, Callable[[Subject], Finding]] = {
    "packed": packed,
    "accumulated": accumulated,
    "sampled": sampled,
    "resumed": resumed,
    "compiled": compiled,
    "recomputed": recomputed,
    "adapted": adapter_merges,
    "exported": exported,
}
SIZES = ("batch_size", "tokens_per_batch")
"""Settings that say how large a micro-batch is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Certificate:
    """What was found about one training stage."""

    stage: str
    name: str
    key: str
    properties: tuple[Result, ...]
    seconds: float
    made: str
    model: dict[str, Any]
    """Parameters and layers of the run's model, and of the small one that stood for it."""
    settings: dict[str, Any]

    @property
    def holds(self) -> bool:
        """Whether no property was refuted."""
        return all(p.verdict != "fails" for p in self.properties)

    def to_json(self) -> dict[str, Any]:
        """Return plain data; a difference that is no number is null."""
        plain: dict[str, Any] = {"holds": self.holds, **dataclasses.asdict(self)}
        for row in plain["properties"]:
            row["difference"] = row["difference"] if math.isfinite(row["difference"]) else None
        return plain


def training_stages(recipe: Recipe, name: str | None = None) -> list[str]:
    """Return the names of the stages of a recipe that train by gradients, or the one that is named."""
    names = [t.name for t in recipe.tasks if t.stage.trains]
    if names and name is None:
        return names
    if name is not None and name in names:
        return [name]
    if not names:
        stages = ", ".join(sorted({t.stage.name for t in recipe.tasks}))
        raise ConfigError(
            f"nothing to certify: no stage of {recipe.name} trains by gradients ({stages})",
            fix=f"certify what does: {', '.join(trained_stages())}",
        )
    raise ConfigError(
        f"{recipe.name} has no training stage {name}; those that train: {', '.join(names)}",
        fix="name one of them with --stage",
    )


def certify(recipe: Recipe, name: str, log: Log) -> Iterator[Result | Certificate]:
    """Prove the properties of one stage one after the other; the last that comes is the certificate."""
    start = datetime.now(timezone.utc)
    plan = _plan(recipe, name, log)
    with tempfile.TemporaryDirectory(prefix="luban-certify-") as folder:
        subject, model = _subject(plan, Path(folder))
        results = []
        for proof, find in PROOFS.items():
            results.append(prove(proof, lambda find=find: find(subject)))  # type: ignore[misc]
            yield results[-1]
    what: dict[str, Any] = {
        "stage": plan.task.stage.name,
        "code": plan.code,
        "settings": resolved(plan.task.settings),
        "inputs": dict(plan.input_keys),
    }
    certificate = Certificate(
        stage=what["stage"],
        name=name,
        key=certificate_key(what),
        properties=tuple(results),
        seconds=round((datetime.now(timezone.utc) - start).total_seconds(), 2),
        made=start.isoformat(timespec="seconds"),
        model=model,
        settings=what["settings"],
    )
    keep_certificate(certificate.to_json())
    yield certificate


def _plan(recipe: Recipe, name: str, log: Log) -> Plan:
    """Return the plan of a stage whose inputs are all there."""
    plans = plan_recipe(Recipe(recipe.name, recipe.out, recipe.ancestry(name)))
    by_out = {p.task.out: p for p in plans}
    plan = next(p for p in plans if p.task.name == name)
    for path in plan.inputs.values():
        made_by = by_out.get(path)
        if made_by is None:
            continue
        if Manifest.read(path) is None:
            raise DataError(
                f"{name} reads {path}, and the stage {made_by.task.name} has not made it",
                fix=f"luban run {recipe.name} makes it; stop it once {name} begins",
            )
        if made_by.status != "reused":
            log.say(f"{path} was made by other settings, data or code; taken as it is", stale=str(path))
    return plan


def _subject(plan: Plan, folder: Path) -> tuple[Subject, dict[str, Any]]:
    prepare, settings, quiet = preparation(plan.task.stage.name), plan.task.settings, Log(quiet=True)

    def run_with(settings: Any) -> Run:
        return prepare(settings, plan.inputs, folder, quiet).run

    run = run_with(settings)
    model: Any = run.model
    build = shrunk_builder(model, run.settings.seed)
    name_there, lr_scale = original_name(model.config), run.lr_scale
    subject = Subject(
        build=build,
        batches=run.batches,
        again=lambda: run_with(divided_otherwise(settings)).batches,
        objective=run.objective,
        settings=run.settings,
        lr_scale=None if lr_scale is None else lambda name: lr_scale(name_there(name)),
    )
    return subject, {"family": model.config.family, "own": _size(model), "small": _size(build(True))}


def _size(model: Any) -> dict[str, int]:
    config = model.config
    n_parameters = sum(p.numel() for p in model.parameters())
    return {"parameters": n_parameters, "dim": config.dim, "n_layers": config.n_layers}


def divided_otherwise(settings: Any) -> Any:
    """Return settings whose steps hold as much, in another number of micro-batches where that can be."""
    for name in SIZES:
        if hasattr(settings, name):
            total = getattr(settings, name) * settings.n_micro_batches
            for n in (2, 1, 3, 5, 7):
                if n != settings.n_micro_batches and total % n == 0:
                    return dataclasses.replace(settings, n_micro_batches=n, **{name: total // n})
    return settings
