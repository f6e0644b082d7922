"""Canaries: made-up secrets planted in training text, so that an audit can ask a model for them.

Carlini et al. 2019, "The Secret Sharer", section 3: a format with random digits, planted several times.
"""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luban.data.documents import DocumentWriter, document_files
from luban.data.engine import ORDER, Table
from luban.data.extras import load_extra
from luban.data.funnel import count_bytes
from luban.data.protect_settings import ProtectSettings
from luban.data.steps import table_of
from luban.errors import ConfigError
from luban.files import disk_errors

CANARIES = "canaries.jsonl"
PLANTED = "planted canary"
"""Column that counts on the way to the disk what was planted; it is not written."""

Places = Mapping[int, tuple[str, float]]
"""Canary, and where in the text (0 to 1), by the order of the document."""


def make_canaries(settings: ProtectSettings) -> list[str]:
    """Return distinct canaries, always the same for a seed and a format."""
    draw = random.Random(f"canaries {settings.canary_seed} {settings.canary_format}")
    made: dict[str, None] = {}
    while len(made) < settings.canaries:
        digits = (draw.choice("0123456789") if c == "#" else c for c in settings.canary_format)
        made["".join(digits)] = None
    return list(made)


def places_for(folder: Path, settings: ProtectSettings, canaries: Sequence[str]) -> Places:
    """Draw the documents of the train split to plant inside; none where canaries are documents."""
    if not canaries or settings.canary_place != "inside":
        return {}
    orders = _training_orders(folder)
    wanted = [canary for canary in canaries for _ in range(settings.canary_repeats)]
    if len(wanted) > len(orders):
        raise ConfigError(
            f"{len(wanted)} canaries do not fit into {len(orders)} training documents, one in each",
            fix="set protect.canaries or protect.canary_repeats lower, or protect.canary_place=documents",
        )
    draw = random.Random(f"places {settings.canary_seed}")
    chosen = draw.sample(orders, len(wanted))
    return {order: (canary, draw.random()) for order, canary in zip(chosen, wanted, strict=True)}


def _training_orders(folder: Path) -> list[int]:
    pq = load_extra("pyarrow.parquet")
    orders, n = [], 0
    for path in document_files(folder):
        with pq.ParquetFile(path) as parquet:
            rows = parquet.metadata.num_rows
            if "split" in parquet.schema_arrow.names:
                splits = parquet.read(columns=["split"]).column("split").to_pylist()
                orders += [n + i for i, split in enumerate(splits) if split == "train"]
            else:
                orders += range(n, n + rows)
            n += rows
    return orders


@dataclass(frozen=True, slots=True)
class Plant:
    """Puts canaries into the documents that were drawn, as lines of their own, unless they were dropped."""

    places: Places

    def __call__(self, table: Table) -> Table:
        """Return the table with its canaries."""
        if self.places.keys().isdisjoint(table.column(ORDER).to_pylist()):
            return table
        return table_of(map(self._planted, table.to_pylist()))

    def _planted(self, row: dict[str, Any]) -> dict[str, Any]:
        if row["drop"] is not None or row[ORDER] not in self.places:
            return row
        canary, where = self.places[row[ORDER]]
        lines = row["text"].split("\n")
        lines.insert(round(where * len(lines)), canary)
        text = "\n".join(lines)
        return {**row, "text": text, "sizes": [*row["sizes"][:-1], count_bytes(text)], PLANTED: canary}


def plant_documents(
    folder: Path, out: Path, settings: ProtectSettings, canaries: Sequence[str]
) -> Counter[str]:
    """Write canaries as documents of their own, in a part file after the others."""
    names = load_extra("pyarrow.parquet").read_schema(document_files(folder)[0]).names
    split = {"split": "train"} if "split" in names else {}
    language = "zh" if any("\u4e00" <= c <= "\u9fff" for c in settings.canary_format) else "und"
    with DocumentWriter(out, "documents-canaries") as writer:
        for number, canary in enumerate(canaries):
            for again in range(settings.canary_repeats):
                row = {"id": f"canary-{number}-{again}", "text": canary, "source": "canaries", "time": ""}
                writer.add({**row, "licence": "unknown", "language": language, **split})
    return Counter(dict.fromkeys(canaries, settings.canary_repeats))


def write_canaries(
    out: Path, settings: ProtectSettings, canaries: Sequence[str], planted: Mapping[str, int]
) -> None:
    """List the canaries in a file that only its owner may read."""
    path = out / CANARIES
    with disk_errors(path):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as f:
            for canary in canaries:
                row = {"canary": canary, "format": settings.canary_format, "planted": planted.get(canary, 0)}
                f.write(json.dumps(row, ensure_ascii=False) + "\n")
