"""The stages of a run folder, and which made which."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luban.errors import DataError
from luban.files import MANIFEST, Manifest
from luban.report.reading import Part


@dataclass(frozen=True, slots=True)
class Source:
    """One input of a stage: another stage of the run, or something from outside."""

    role: str
    label: str
    key: str
    stage: str | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class StageRun:
    """One finished stage, as its manifest tells it."""

    name: str
    use: str
    folder: Path
    key: str
    seconds: float
    started: str
    settings: dict[str, Any]
    command: tuple[str, ...]
    versions: dict[str, str]
    sources: tuple[Source, ...]
    facts: Part

    def source(self, role: str) -> Source | None:
        """Return the input with this role."""
        return next((s for s in self.sources if s.role == role), None)


def read_stages(run_folder: Path, notes: list[str]) -> tuple[StageRun, ...]:
    """Return the run's stages, each after its inputs; the folder may itself be a single stage."""
    if not run_folder.is_dir():
        raise DataError(f"{run_folder} is not a folder", fix="name the folder that `luban run` wrote")
    single = (run_folder / MANIFEST).is_file()
    folders = [run_folder] if single else sorted(p for p in run_folder.iterdir() if _is_stage(p))
    manifests: dict[Path, Manifest] = {}
    for folder in folders:
        manifest = Manifest.read(folder)
        if manifest is None:
            notes.append(f"{folder.name}/{MANIFEST} is broken; that stage is left out")
        else:
            manifests[folder] = manifest
    if not manifests:
        raise DataError(
            f"{run_folder} holds no finished stage", fix="run a recipe first, such as `luban run quickstart`"
        )
    stages = [_stage(folder, manifest, manifests, notes) for folder, manifest in manifests.items()]
    return _in_order(sorted(stages, key=lambda s: s.started))


def _is_stage(path: Path) -> bool:
    unfinished = ".partial-" in path.name or ".replaced-" in path.name
    return path.is_dir() and not unfinished and (path / MANIFEST).is_file()


def _stage(folder: Path, manifest: Manifest, manifests: dict[Path, Manifest], notes: list[str]) -> StageRun:
    whole = Part(
        {name: getattr(manifest, name) for name in Manifest.__slots__}, f"{folder.name}/{MANIFEST}", notes
    )
    others = {f: m for f, m in manifests.items() if f != folder}
    sources = [_source(role, part, others) for role, part in whole.part("inputs").children().items()]
    return StageRun(
        name=folder.name,
        use=whole.text("stage"),
        folder=folder,
        key=whole.text("key"),
        seconds=whole.number("seconds") or 0.0,
        started=whole.text("started"),
        settings=whole.part("settings").data,
        command=whole.texts("command"),
        versions={k: str(v) for k, v in whole.part("versions").data.items()},
        sources=tuple(sources),
        facts=Part(whole.part("facts").data, folder.name, notes),
    )


def _source(role: str, part: Part, others: dict[Path, Manifest]) -> Source:
    path, key = Path(part.text("path", "?")), part.text("key")
    by_key = [f for f, m in others.items() if key and m.key == key]
    by_name = [f for f in others if f.name == path.name and f.parent.name == path.parent.name]
    found = next(iter([*(f for f in by_key if f in by_name), *by_key, *by_name]), None)
    note = "changed since" if found and found not in by_key else ""
    label = found.name if found else "/".join(path.parts[-2:])
    return Source(role, label, key, found.name if found else None, note)


def _in_order(stages: list[StageRun]) -> tuple[StageRun, ...]:
    by_name = {s.name: s for s in stages}
    done: dict[str, StageRun] = {}
    waiting: set[str] = set()

    def visit(stage: StageRun) -> None:
        if stage.name in done or stage.name in waiting:
            return
        waiting.add(stage.name)
        for source in stage.sources:
            if source.stage in by_name:
                visit(by_name[str(source.stage)])
        done[stage.name] = stage

    for stage in stages:
        visit(stage)
    return tuple(done.values())
