"""One deduplication on its way: on what it works and where, and the signatures of its documents."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luban.data.clusters import Orders
from luban.data.dedup_index import OldFolder, Sketches, index_units, index_writer, read_index
from luban.data.engine import Engine, Function, Rows
from luban.data.lines import RemoveLines
from luban.data.reading import ReadChanged, ReadColumns, ReadSome, Unit
from luban.data.settings import DedupSettings
from luban.data.signatures import Sign
from luban.data.steps import folder_units, read_unit
from luban.files import disk_errors


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """One deduplication: where it works, on what, and beside which folders."""

    engine: Engine
    settings: DedupSettings
    scratch: Path
    folder: Path
    olds: tuple[OldFolder, ...] = ()
    changes: tuple[Function, ...] = ()
    """What is done to the new documents."""
    steps: tuple[str, ...] = ()
    """What these are called in the funnel."""

    @property
    def first(self) -> int:
        """Order of the first new document; those of the old folders come before."""
        return sum(old.n for old in self.olds)

    @property
    def units(self) -> list[Unit]:
        """The row groups of the new documents."""
        return shifted(self.folder, self.first)

    @property
    def rows(self) -> Rows:
        """The new documents."""
        if any(isinstance(change, RemoveLines) for change in self.changes):
            return self.changed(self.engine.read(self.units, read_unit))
        return self.engine.read(self.units, ReadChanged(self.changes))

    @property
    def texts(self) -> Rows:
        """The new documents, of which only ids and texts are wanted."""
        return self.rows if self.changes else self.engine.read(self.units, ReadColumns(("id", "text")))

    def some(self, orders: Path) -> Rows:
        """Return the texts of those new documents whose order is in a file."""
        if self.changes:
            return self.changed(self.engine.read(self.units, ReadSome(orders)))
        return self.engine.read(self.units, ReadSome(orders, ReadColumns(("text",))))

    def followed_by(self, change: Function, *steps: str) -> Work:
        """Return the same work with a change more."""
        return replace(self, changes=(*self.changes, change), steps=(*self.steps, *steps))

    def changed(self, rows: Rows) -> Rows:
        """Return new documents after all changes."""
        for change in self.changes:
            rows = rows.map(change)
        return rows


@dataclass(frozen=True, slots=True, eq=False)
class Signed:
    """The signatures of all documents, old and new."""

    units: tuple[Unit, ...]
    """The batches of the files they are in."""
    orders: Orders
    sketches: NDArray[np.uint8]
    """One for each of the orders."""


def sign_all(work: Work) -> Signed:
    """Sign the new documents, and take the signatures of the old ones as they are."""
    path = work.scratch / "signatures.arrow"
    sketches = Sketches(work.scratch / "sketches.u8", work.settings.permutations)
    units: list[Unit] = []
    for old in work.olds:
        units += index_units(old.index, old.first)
    for unit in units:
        sketches.add(read_index(unit, "sketch"))
    with index_writer(path, work.settings) as writer:
        for table in work.texts.map(Sign(work.settings)):
            if table.num_rows:
                writer.add(table)
                sketches.add(table)
    orders, bytes_ = sketches.finish()
    return Signed((*units, *index_units(path)), orders, bytes_)


def shifted(folder: Path, by: int) -> list[Unit]:
    """Return the row groups of a documents folder, with orders from a number on."""
    return [(path, group, first + by) for path, group, first in folder_units(folder)]


def save(path: Path, array: NDArray[Any]) -> None:
    """Write an array where other processes find it."""
    with disk_errors(path):
        np.save(path, array)
