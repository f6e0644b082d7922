"""Ways to read a documents folder: some columns, some documents, or changed on the way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from luban.data.engine import ORDER, Function, Table
from luban.data.extras import load_extra
from luban.data.steps import read_unit

Unit = tuple[str, int, int]
"""File, row group, and the order of its first row."""
ROWS = 1000


@dataclass(frozen=True, slots=True)
class ReadColumns:
    """Reads some columns of a row group, and `order`."""

    names: tuple[str, ...]

    def __call__(self, unit: Unit) -> Iterator[Table]:
        """Yield the row group as tables."""
        pa = load_extra("pyarrow")
        path, group, first = unit
        with load_extra("pyarrow.parquet").ParquetFile(path) as parquet:
            batches = parquet.iter_batches(
                batch_size=ROWS, row_groups=[group], columns=list(self.names), use_threads=False
            )
            for batch in batches:
                table = pa.Table.from_batches([batch])
                orders = pa.array(np.arange(first, first + table.num_rows))
                yield table.append_column(ORDER, orders)
                first += table.num_rows


@dataclass(frozen=True, slots=True)
class ReadSome:
    """Reads those rows of a row group whose order is in a file (npy, sorted)."""

    orders: Path
    read: ReadColumns | None = None

    def __call__(self, unit: Unit) -> Iterator[Table]:
        """Yield the row group as tables with only these rows."""
        path, group, first = unit
        wanted = np.load(self.orders, mmap_mode="r")
        with load_extra("pyarrow.parquet").ParquetFile(path) as parquet:
            n = parquet.metadata.row_group(group).num_rows
        inside = wanted[slice(*np.searchsorted(wanted, (first, first + n)))]
        if not len(inside):
            return
        read = self.read or read_unit
        for table in read(unit):
            keep = np.isin(table.column(ORDER).to_numpy(), inside, assume_unique=True)
            if keep.any():
                yield table.filter(load_extra("pyarrow").array(keep))


@dataclass(frozen=True, slots=True)
class ReadChanged:
    """Reads a row group through functions so quick that tables need not go to other processes for them."""

    changes: tuple[Function, ...]

    def __call__(self, unit: Unit) -> Iterator[Table]:
        """Yield the row group as tables."""
        for table in read_unit(unit):
            for change in self.changes:
                table = change(table)
            yield table
