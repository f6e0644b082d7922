"""Which documents are equal, and which may be similar: the engine brings together those that share a key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from luban.data.bands import BucketPairs, Candidates, Copies, may_reach
from luban.data.clusters import Orders
from luban.data.compare import Compare, ReadPairs, pair_units, write_sets
from luban.data.dedup_index import Unit, read_index
from luban.data.dedup_work import Signed, Work, save, shifted
from luban.data.engine import ORDER, Table
from luban.data.extras import load_extra
from luban.data.reading import ReadColumns, ReadSome
from luban.data.signatures import NgramSets

NONE = np.zeros(0, np.int64)


def find_copies(work: Work, signed: Signed) -> dict[int, int]:
    """Return each document whose text an earlier one has, and the first that has it."""
    rows = work.engine.read(signed.units, ReadKeys()).group("key", Copies())
    found: dict[int, int] = {}
    for table in rows:
        found.update(zip(table.column(ORDER).to_pylist(), table.column("home").to_pylist(), strict=True))
    return found


@dataclass(slots=True, eq=False)
class Pairing:
    """The two halves of finding pairs, each done by the engine."""

    work: Work
    signed: Signed
    round: int = 0

    def candidates(self, among: Orders) -> Candidates:
        """Return pairs of documents that share a bucket and whose sketches agree, one of them new."""
        self.round += 1
        path = self.work.scratch / f"among-{self.round}.npy"
        save(path, among)
        rows = self.work.engine.read(self.signed.units, ReadBuckets(path)).group("band_key", BucketPairs())
        parts = [Candidates(NONE, NONE, NONE.astype(bool))]
        for table in rows:
            left, right, large = (table.column(name).to_numpy() for name in ("left", "right", "large"))
            part = Candidates(left, right, large).where(right >= self.work.first)
            parts.append(part.where(self._may_reach(part)))
        return Candidates(
            np.concatenate([part.left for part in parts]),
            np.concatenate([part.right for part in parts]),
            np.concatenate([part.large for part in parts]),
        )

    def verify(self, left: Orders, right: Orders) -> NDArray[np.float64]:
        """Return the Jaccard similarity of pairs of documents."""
        if not len(left):
            return np.zeros(0)
        work, folder = self.work, self.work.scratch / "sets"
        if not folder.exists():  # later rounds are among the documents of the first
            needed = work.scratch / "needed.npy"
            save(needed, np.unique(np.concatenate([left, right])))
            write_sets(self._ngrams(needed), folder)
        pairs = work.scratch / f"pairs-{self.round}.npy"
        save(pairs, np.stack([left, right], axis=1))
        compared = work.engine.read(pair_units(len(left)), ReadPairs(pairs)).map(Compare(folder))
        return np.concatenate([table.column("jaccard").to_numpy() for table in compared])

    def _ngrams(self, needed: Path) -> Iterator[Table]:
        work, ngrams = self.work, NgramSets(self.work.settings)
        for old in work.olds:
            read = ReadSome(needed, ReadColumns(("text",)))
            yield from work.engine.read(shifted(old.folder, old.first), read).map(ngrams)
        yield from work.some(needed).map(ngrams)

    def _may_reach(self, pairs: Candidates) -> NDArray[np.bool_]:
        left, right = (np.searchsorted(self.signed.orders, side) for side in (pairs.left, pairs.right))
        return may_reach(
            self.signed.sketches, Candidates(left, right, pairs.large), self.work.settings.cluster_threshold
        )


@dataclass(frozen=True, slots=True)
class ReadKeys:
    """Reads the exact keys of a batch of signatures."""

    def __call__(self, unit: Unit) -> Iterator[Table]:
        """Yield the columns order, key."""
        table = read_index(unit, "key")
        yield table.set_column(1, "key", table.column("key").cast(load_extra("pyarrow").binary()))


@dataclass(frozen=True, slots=True)
class ReadBuckets:
    """Reads the buckets of those documents of a batch whose order is in a file (npy, sorted)."""

    among: Path

    def __call__(self, unit: Unit) -> Iterator[Table]:
        """Yield a row for each bucket that a document is in: columns order, band_key."""
        pa = load_extra("pyarrow")
        table = read_index(unit, "buckets")
        orders = table.column(ORDER).to_numpy()
        among = np.load(self.among, mmap_mode="r")
        inside = among[slice(*np.searchsorted(among, (orders[0], orders[-1] + 1)))]
        table = table.filter(pa.array(np.isin(orders, inside, assume_unique=True)))
        column = table.column("buckets").combine_chunks()
        keys = column.flatten().to_numpy()
        bands = column.type.list_size
        yield pa.table({ORDER: np.repeat(table.column(ORDER).to_numpy(), bands), "band_key": keys})
