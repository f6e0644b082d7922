"""The index that a deduplicated folder keeps, so that later documents are compared with its own.

It holds the signature of each document that stayed, not its text. Which pairs may be similar is told from
it alone; the few texts that are then compared are read from the folder itself, so that similarity is the
true one and the outcome the same as if old and new had been deduplicated at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luban.data.clusters import Orders
from luban.data.documents import document_files
from luban.data.engine import ORDER, Table
from luban.data.extras import load_extra
from luban.data.settings import DedupSettings
from luban.errors import DataError
from luban.files import disk_errors

INDEX = "index.arrow"
VERSION = 1  # of the arithmetic: signatures of another do not match
BATCH_ROWS = 20_000
MUST_MATCH = ("word_ngram", "char_ngram", "permutations", "bands", "seed")

Unit = tuple[str, int, int]
"""Index file, number of the batch in it, and what to add to its orders."""


@contextmanager
def index_writer(path: Path, settings: DedupSettings) -> Iterator[IndexWriter]:
    """Write signatures to an index file.

    with index_writer(path, settings) as writer: writer.add(table)
    """
    with disk_errors(path), load_extra("pyarrow").OSFile(str(path), "wb") as sink:
        writer = IndexWriter(sink, settings)
        yield writer
        writer.close()


class IndexWriter:
    """Gathers tables of signatures into batches."""

    def __init__(self, sink: Any, settings: DedupSettings):
        self._sink, self._settings = sink, settings
        self._waiting: list[Table] = []
        self._writer: Any = None

    def add(self, table: Table) -> None:
        """Append rows."""
        self._waiting.append(table)
        if sum(t.num_rows for t in self._waiting) >= BATCH_ROWS:
            self._flush()

    def close(self) -> None:
        """Write the rest."""
        if self._waiting:
            self._flush()
        if self._writer is not None:
            self._writer.close()

    def _flush(self) -> None:
        pa = load_extra("pyarrow")
        table = pa.concat_tables(self._waiting).combine_chunks()
        self._waiting = []
        if self._writer is None:
            facts = {"version": VERSION, **{name: getattr(self._settings, name) for name in MUST_MATCH}}
            schema = table.schema.with_metadata({"luban": json.dumps(facts)})
            self._writer = pa.ipc.new_file(self._sink, schema)
        self._writer.write_table(table)


def index_units(path: Path, shift: int = 0) -> list[Unit]:
    """Return the batches of an index file; one without documents is empty and has none."""
    if not path.stat().st_size:
        return []
    with _opened(path) as reader:
        return [(str(path), i, shift) for i in range(reader.num_record_batches)]


def read_index(unit: Unit, *names: str) -> Table:
    """Return some columns of a batch, with the place among all documents in `order`."""
    pa = load_extra("pyarrow")
    path, i, shift = unit
    with _opened(Path(path)) as reader:
        table = pa.Table.from_batches([reader.get_batch(i)]).select([ORDER, *names])
    orders = pa.array(table.column(ORDER).to_numpy() + shift)
    return table.set_column(0, ORDER, orders)


@dataclass(frozen=True, slots=True)
class OldFolder:
    """A folder deduplicated earlier: its documents come before the new ones."""

    folder: Path
    first: int
    """Order of its first document."""
    n: int

    @property
    def index(self) -> Path:
        """The file with its signatures."""
        return self.folder / INDEX


def open_indexes(folders: list[Path], settings: DedupSettings) -> list[OldFolder]:
    """Return the folders that new documents are compared with; refuse one made with other settings."""
    found: list[OldFolder] = []
    for folder in folders:
        first = found[-1].first + found[-1].n if found else 0
        found.append(OldFolder(folder, first, _count(folder, settings)))
    return found


def _count(folder: Path, settings: DedupSettings) -> int:
    path = folder / INDEX
    if not path.is_file():
        raise DataError(
            f"{folder} has no {INDEX}", fix="name a folder that this version's `luban data dedup` wrote"
        )
    n = sum(read_index(unit).num_rows for unit in index_units(path))
    files = document_files(folder)
    held = sum(load_extra("pyarrow.parquet").read_metadata(file).num_rows for file in files)
    if n != held:
        raise DataError(
            f"{path} knows {n} documents, and {folder} has {held}",
            fix="its documents changed since: deduplicate it again",
        )
    if n:
        with _opened(path) as reader:
            facts = json.loads(reader.schema.metadata[b"luban"])
        for name, value in {"version": VERSION, **{m: getattr(settings, m) for m in MUST_MATCH}}.items():
            if facts[name] != value:
                raise DataError(
                    f"{path} was made with dedup.{name} = {facts[name]}, and now it is {value}",
                    fix=f"set dedup.{name} to {facts[name]}, or deduplicate that folder again",
                )
    return n


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    pa = load_extra("pyarrow")
    try:
        with pa.memory_map(str(path)) as source:
            yield pa.ipc.open_file(source)
    except pa.ArrowInvalid as e:
        raise DataError(f"{path} cannot be read: {e}", fix="deduplicate that folder again") from None


class Sketches:
    """The sketches of all documents, in a file: each is looked up by the document's order."""

    def __init__(self, path: Path, permutations: int):
        self._path, self._permutations = path, permutations
        self._orders: list[Orders] = []
        with disk_errors(path):
            self._file = path.open("wb")

    def add(self, table: Table) -> None:
        """Append the sketches of a table of signatures."""
        self._orders.append(table.column(ORDER).to_numpy())
        column = table.column("sketch").combine_chunks()
        width = self._permutations
        rows = np.frombuffer(column.buffers()[1] or b"", np.uint8)
        with disk_errors(self._path):
            self._file.write(rows[column.offset * width : (column.offset + len(column)) * width].data)

    def finish(self) -> tuple[Orders, NDArray[np.uint8]]:
        """Return the orders, and the sketches in the same order."""
        with disk_errors(self._path):
            self._file.close()
        orders = np.concatenate([np.zeros(0, np.int64), *self._orders])
        if not len(orders):
            return orders, np.zeros((0, self._permutations), np.uint8)
        return orders, np.memmap(self._path, np.uint8, "r", shape=(len(orders), self._permutations))
