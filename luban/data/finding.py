"""The files below a folder, in a stable order: links and closed doors are told."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from luban.data.origins import ORIGINS_FILE
from luban.data.readers.opening import is_licence_file
from luban.files import UNFINISHED, Manifest
from luban.log import Log

_SAVED = frozenset(("dataset_info.json", "state.json"))
_ASIDE = frozenset((ORIGINS_FILE, "dataset_dict.json"))


@dataclass(frozen=True, slots=True)
class Place:
    """A file as it was found."""

    path: Path
    problem: str = ""
    is_documents: bool = False
    licence: str | None = None


def find_places(root: Path) -> list[Place]:
    """Return the files at or below a root, sorted; hidden ones are passed over, but a root never is."""
    if root.is_file():
        return [Place(root)]
    if made := Manifest.read(root):
        if made.stage == "crawl":
            return [Place(path) for path in sorted(root.glob("crawl-*.warc.gz"))]
        return [Place(path, is_documents=True) for path in sorted(root.glob("documents-*.parquet"))]
    return sorted(_below(root), key=lambda place: place.path)


def passed_over(roots: Sequence[Path], log: Log) -> dict[str, dict[str, int]]:
    """Return the facts of what is passed over, by kind, and say so: hidden files and folders."""
    n = sum(
        name.startswith(".")
        for root in roots
        if root.is_dir() and Manifest.read(root) is None
        for folder, folders, files in os.walk(root)
        if not any(part.startswith(".") for part in Path(folder).relative_to(root).parts)
        for name in (*folders, *files)
    )
    if n:
        log.say(f"  {n} hidden files and folders are passed over", hidden=n)
    return {"passed_over": {"hidden": n}} if n else {}


def _below(folder: Path) -> Iterator[Place]:
    try:
        with os.scandir(folder) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
    except OSError as e:
        yield Place(folder, f"cannot be opened: {e.strerror or e}")
        return
    if (made := Manifest.read(folder)) and made.stage:
        yield Place(folder, "a folder that a stage wrote, which is no raw text: name the folder itself")
        return
    if {entry.name for entry in entries} >= _SAVED:
        yield from _saved_dataset(folder)
        return
    for entry in entries:
        path = folder / entry.name
        if entry.name.startswith(".") or entry.name in _ASIDE or is_licence_file(entry.name):
            continue
        try:
            if ".partial-" in entry.name and (path / UNFINISHED).exists():
                continue  # a stage is at work there
            if entry.is_dir(follow_symlinks=False):
                yield from _below(path)
            elif entry.is_dir():
                yield Place(path, "a link to a folder, which is not followed: name the folder itself")
            elif entry.is_file():
                yield Place(path)
            else:
                yield Place(
                    path, "a link to nothing" if entry.is_symlink() else "not a file: a device or a pipe"
                )
        except OSError as e:
            yield Place(path, f"cannot be opened: {e.strerror or e}")


def _saved_dataset(folder: Path) -> Iterator[Place]:
    """Yield the tables of a folder that `datasets` saved, with the licence it states."""
    try:
        info = json.loads((folder / "dataset_info.json").read_bytes())
        state = json.loads((folder / "state.json").read_bytes())
        names = [file["filename"] for file in state["_data_files"]]
        licence = info.get("license") or None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
        yield Place(folder, f"a saved data set that cannot be read: {e}")
        return
    for name in names:
        path = folder / Path(str(name)).name
        yield Place(path, licence=licence if isinstance(licence, str) else None)
