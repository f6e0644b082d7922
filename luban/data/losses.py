"""How a folder of documents came to be: the stages behind it, and what each of them dropped or rejected."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from luban.data.census import SAMPLE_CHARS, key_of
from luban.data.documents import DROPPED, REJECTS
from luban.data.tallies import Chosen, Spread
from luban.errors import DataError
from luban.files import Manifest

MAX_STAGES = 20
MAX_REASONS = 50
INPUTS = ("documents", "raw")
"""What the stage before is called in a manifest."""
_VARIES = re.compile(r"(['\"]).*?\1|\d+(?:\.\d+)?")


@dataclass(frozen=True, slots=True)
class Step:
    """One stage on the way to a folder."""

    folder: Path
    manifest: Manifest


def history(folder: Path) -> list[Step]:
    """Return the stages that led to a folder, the first of them first, as far as their folders are there.

    A folder that was made anew since is left out, and what is before it.
    """
    steps: list[Step] = []
    here: Path | None = folder
    while here is not None and len(steps) < MAX_STAGES:
        manifest = Manifest.read(here)
        if manifest is None:
            break
        steps.insert(0, Step(here, manifest))
        here = _before(manifest)
    return steps


def _before(manifest: Manifest) -> Path | None:
    for name in INPUTS:
        entry = manifest.inputs.get(name)
        if isinstance(entry, dict) and entry.get("path"):
            path = Path(str(entry["path"]))
            found = Manifest.read(path)
            if found is not None and found.key == entry.get("key"):
                return path
    return None


@dataclass(slots=True)
class Losses:
    """What was dropped and rejected, by step and reason, with samples."""

    samples: Chosen
    drops: dict[tuple[str, str, str], list[int]] = field(default_factory=dict)
    """(Stage, step, reason) → documents, characters."""
    rejects: Counter[str] = field(default_factory=Counter)
    reject_examples: dict[str, str] = field(default_factory=dict)
    jaccard: Spread = field(default_factory=Spread)
    """Of near-duplicates, in per cent."""

    def read(self, name: str, folder: Path) -> None:
        """Count the lines of a stage's dropped.jsonl and rejects.jsonl."""
        for row in _lines(folder / DROPPED):
            self._drop(name, row)
        for row in _lines(folder / REJECTS):
            reason = " ".join(_VARIES.sub("#", str(row.get("reason", ""))).split())[:200]
            if reason not in self.rejects and len(self.rejects) >= MAX_REASONS:
                reason = "(other reasons)"
            self.rejects[reason] += 1
            line = row.get("line")
            where = f"{row.get('file', '')}" if line is None else f"{row.get('file', '')}:{line}"
            self.reject_examples.setdefault(reason, f"{where}: {row.get('reason', '')}"[:300])

    def facts(self) -> dict[str, Any]:
        """Return what was counted as plain values."""
        chosen = self.samples.facts()
        return {
            "dropped": [
                {
                    "stage": stage,
                    "step": step,
                    "reason": reason,
                    "documents": documents,
                    "chars": chars,
                    "samples": chosen.get("\0".join((stage, step, reason)), []),
                }
                for (stage, step, reason), (documents, chars) in self.drops.items()
            ],
            "rejected": [
                {"reason": reason, "rows": n, "example": self.reject_examples[reason]}
                for reason, n in self.rejects.most_common()
            ],
            "jaccard": self.jaccard.facts(1, [*range(0, 102, 2)]),
        }

    def _drop(self, stage: str, row: dict[str, Any]) -> None:
        text = str(row.get("text") or "")
        kind = (stage, str(row.get("step", "")), str(row.get("reason", "")))
        one = self.drops.setdefault(kind, [0, 0])
        one[0] += 1
        one[1] += len(text)
        if isinstance(row.get("jaccard"), float):
            self.jaccard.add(round(100 * min(max(row["jaccard"], 0.0), 1.0)))
        key = key_of(row)
        if self.samples.wants("\0".join(kind), key):
            told = {name: str(row.get(name) or "") for name in ("id", "source", "language", "detail")}
            sample = {**told, "chars": len(text), "text": text[:SAMPLE_CHARS]}
            self.samples.add("\0".join(kind), key, sample)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace") as lines:
        for n, line in enumerate(lines, start=1):
            try:
                row = json.loads(line)
            except ValueError:
                raise DataError(f"{path}:{n} is no JSON", fix="run the stage that wrote it again") from None
            if isinstance(row, dict):
                yield row


def history_facts(steps: list[Step]) -> list[dict[str, Any]]:
    """Return what the manifests of the stages say, as plain values."""
    return [
        {
            "stage": step.manifest.stage,
            "folder": str(step.folder),
            "seconds": step.manifest.seconds,
            "started": step.manifest.started,
            "counts": step.manifest.facts.get("counts", {}),
            "funnel": step.manifest.facts.get("funnel", []),
            "rejects": step.manifest.facts.get("rejects", 0),
        }
        for step in steps
    ]


def read_losses(steps: list[Step], n_samples: int) -> dict[str, Any]:
    """Return what the stages dropped and rejected; `n_samples` of each reason."""
    losses = Losses(Chosen(n_samples))
    for step in steps:
        losses.read(step.folder.name, step.folder)
    return losses.facts()
