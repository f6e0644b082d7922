"""Raw files as rows of tables, on any engine; what cannot be read becomes a row that says so."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from luban.data.engine import Engine, Rows, Table
from luban.data.settings import ReadSettings
from luban.data.sources import Source, read_sources, split_units
from luban.data.steps import Row, document_row, reject_row, tables

UNIT_BYTES = 32_000_000  # read as one piece of work
_PLACES = 1 << 32  # documents of a source, at most

Unit = tuple[tuple[int, Source], ...]
"""Some sources with their numbers."""


@dataclass(frozen=True, slots=True)
class ReadRaw:
    """Reads units of sources into tables."""

    settings: ReadSettings

    def __call__(self, unit: Unit) -> Iterator[Table]:
        """Yield the documents and rejects of a unit's sources, in order."""
        return tables(row for number, source in unit for row in self._rows(number, source))

    def _rows(self, number: int, source: Source) -> Iterator[Row]:
        rejects: list[tuple[str, int | None, str]] = []
        place = number * _PLACES
        found = read_sources(
            [source],
            lambda file, line, reason: rejects.append((file, line, reason)),
            self.settings,
        )
        for document in found:
            for reject in rejects:
                yield reject_row(place, *reject)
                place += 1
            rejects.clear()
            yield document_row(place, document)
            place += 1
        for reject in rejects:
            yield reject_row(place, *reject)
            place += 1


def read_raw(engine: Engine, sources: Sequence[Source], read: ReadRaw) -> Rows:
    """Return the rows of all sources, in order."""
    return engine.read(units(sources, read.settings), read)


def units(sources: Sequence[Source], settings: ReadSettings) -> list[Unit]:
    """Gather sources, in order, into pieces of work of like size; large files are cut."""
    numbers = itertools.count()
    return [
        tuple((next(numbers), source) for source in unit)
        for unit in split_units(sources, UNIT_BYTES, settings)
    ]
