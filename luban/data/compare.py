"""The true Jaccard similarity of pairs of documents, whose n-grams are held in a file meanwhile."""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from luban.data.clusters import Orders
from luban.data.engine import ORDER, Table
from luban.data.extras import load_extra
from luban.files import disk_errors
from luban.native import minhash

PAIRS = 1 << 12  # compared at a time


def write_sets(tables: Iterable[Table], folder: Path) -> None:
    """Lay the n-grams of documents, as `NgramSets` gives them, into a file that processes can share."""
    orders, sizes = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    with disk_errors(folder):
        folder.mkdir()
        with (folder / "sets.u32").open("wb") as file:
            for table in tables:
                orders.append(table.column(ORDER).to_numpy())
                column = table.column("ngrams").combine_chunks()
                _, offsets, data = column.buffers()
                ends = np.frombuffer(offsets, np.int64)[column.offset : column.offset + len(column) + 1]
                sizes.append(np.diff(ends) // 4)
                file.write(memoryview(data)[ends[0] : ends[-1]])
        places = np.concatenate(orders)
        ends = np.cumsum(np.r_[0, np.concatenate(sizes)])
        by = np.argsort(places, kind="stable")
        np.save(folder / "orders.npy", places[by])
        np.save(folder / "bounds.npy", np.stack([ends[:-1], ends[1:]], axis=1)[by])


@dataclass(frozen=True, slots=True)
class ReadPairs:
    """Reads pairs (n, 2) from a file, a range of them a unit."""

    path: Path

    def __call__(self, unit: tuple[int, int]) -> Iterator[Table]:
        """Yield the pairs as columns left, right."""
        pairs = np.load(self.path, mmap_mode="r")[slice(*unit)]
        left, right = (np.ascontiguousarray(pairs[:, k]) for k in (0, 1))
        yield load_extra("pyarrow").table({ORDER: np.arange(*unit), "left": left, "right": right})


def pair_units(n: int) -> list[tuple[int, int]]:
    """Return ranges of pairs."""
    return [(at, min(at + PAIRS, n)) for at in range(0, n, PAIRS)]


@dataclass(frozen=True, slots=True)
class Compare:
    """Maps pairs of documents to their similarity, by the n-grams that `write_sets` put in a folder."""

    folder: Path

    def __call__(self, table: Table) -> Table:
        """Return the pairs with a column jaccard."""
        mapped, orders, bounds = _load(self.folder)
        sets = np.frombuffer(mapped, np.uint32)
        sides = [np.searchsorted(orders, table.column(name).to_numpy()) for name in ("left", "right")]
        found = minhash.jaccard(sets, bounds, np.stack(sides, axis=1))
        mapped.madvise(mmap.MADV_DONTNEED)  # else the whole file would stay in this process's memory
        return table.append_column("jaccard", load_extra("pyarrow").array(found))


def let_go() -> None:
    """Close what this process holds open: a file that was deleted would still take the disk's space."""
    _load.cache_clear()


@lru_cache(maxsize=1)
def _load(folder: Path) -> tuple[mmap.mmap, Orders, Orders]:
    with (folder / "sets.u32").open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return (
        mapped,
        np.load(folder / "orders.npy", mmap_mode="r"),
        np.load(folder / "bounds.npy", mmap_mode="r"),
    )
