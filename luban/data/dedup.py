"""Drop exact and near duplicates; give every document that stays its cluster of similar ones.

Texts pass by three times and are never held: once for their signatures, once for the n-grams of those
that may be similar, once to be written. What grows with the number of documents are a few numbers for
each, and more of them for each that is like another.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luban.data.bands import BucketPairs, Candidates, Copies, may_reach
from luban.data.clusters import Orders, Pairs, duplicates, join
from luban.data.compare import Compare, ReadPairs, ReadSome, pair_units, write_sets
from luban.data.dedup_index import (
    INDEX,
    OldFolder,
    Sketches,
    Unit,
    index_units,
    index_writer,
    open_indexes,
    read_index,
)
from luban.data.engine import ORDER, Engine, Function, Rows, Table, open_engine
from luban.data.extras import load_extra
from luban.data.lines import Frequent, Kind, LineKeys, RemoveLines, write_frequent
from luban.data.marks import EXACT, NEAR, Decisions, Mark, decide, write_marks
from luban.data.near import find_pairs
from luban.data.settings import DedupSettings
from luban.data.signatures import NgramSets, Sign
from luban.data.steps import check_count, folder_units, read_unit, write_rows
from luban.data.substrings import (
    Anchors,
    Fingerprints,
    Follow,
    ReadAnchors,
    RemoveSpans,
    anchor_units,
    write_anchors,
    write_spans,
    write_texts,
)
from luban.files import disk_errors
from luban.log import Log


def dedup(settings: DedupSettings, inputs: Mapping[str, Path], out: Path, log: Log) -> dict[str, Any]:
    """Keep the first of each group of duplicates; write `cluster`, which a split never parts.

    Documents are compared with those of the folders `index`, `index:2`, ... too, which are kept as they are.
    """
    folder = inputs["documents"]
    olds = open_indexes(
        [path for name, path in inputs.items() if name.partition(":")[0] == "index"], settings
    )
    with open_engine(settings, out) as engine, _scratch(out) as scratch:
        work = without_lines(Work(engine, settings, scratch, folder, tuple(olds)))
        signed = sign_all(work)
        found = find(work, signed)
        log.say(f"dedup: {len(found.dropped)} duplicates among {len(signed.orders) - work.first} documents")
        marks = scratch / "marks.arrow"
        write_marks(marks, found, _ids(signed.units, found), _old_clusters(work, found.roots))
        changed, emptied = without_spans(work.followed_by(Mark(marks), EXACT, NEAR))
        written = write_rows(changed.rows, out, changed.steps)
        dropped = np.union1d(found.dropped, emptied)
        n_clusters = _count_clusters(work, write_index(work, signed, dropped, out), found, emptied)
    check_count(written, folder)
    facts = written.facts()
    return {**facts, "counts": {**facts["counts"], "clusters": n_clusters}}


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
        return _shifted(self.folder, self.first)

    @property
    def rows(self) -> Rows:
        """The new documents."""
        return self.changed(self.engine.read(self.units, read_unit))

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
        for table in work.rows.map(Sign(work.settings)):
            if table.num_rows:
                writer.add(table)
                sketches.add(table)
    orders, bytes_ = sketches.finish()
    return Signed((*units, *index_units(path)), orders, bytes_)


def find(work: Work, signed: Signed) -> Decisions:
    """Decide which documents go, and which belong together."""
    copies = _copies(work, signed)
    own = np.setdiff1d(signed.orders, np.fromiter(copies, np.int64, len(copies)), assume_unique=True)
    steps = _Compare(work, signed)
    pairs = find_pairs(own, steps.candidates, steps.verify, work.settings)
    better = duplicates(pairs.at_least(work.settings.threshold))
    links = pairs.joined(_links_of_old(work, pairs, copies))
    roots = join(links.left, links.right)
    new = {order: home for order, home in copies.items() if order >= work.first}
    return decide(new, better, roots.members, roots.roots)


def without_lines(work: Work) -> Work:
    """Return the work on documents without the paragraphs and lines that too many have."""
    kinds: tuple[Kind, ...] = ("paragraphs", "lines")
    for kind in kinds:
        if getattr(work.settings, kind) == "off":
            continue
        path = work.scratch / f"{kind}.npy"
        keys = work.rows.map(LineKeys(work.settings, kind))
        write_frequent(keys.group("line_key", Frequent(work.settings.max_repeats)), path)
        change = RemoveLines(work.settings, kind, path)
        work = work.followed_by(change, change.name)
    return work


def without_spans(work: Work) -> tuple[Work, Orders]:
    """Return the work on documents without the spans they share, and those that are left too short."""
    settings, scratch = work.settings, work.scratch
    if not settings.substring_bytes:
        return work, np.zeros(0, np.int64)
    found = work.rows.map(Fingerprints(settings)).group("fingerprint", Anchors())
    anchors = write_anchors(found, scratch / "anchors.npy")
    needed = scratch / "anchored.npy"
    _save(needed, np.unique(np.concatenate([anchors["order"], anchors["other"]])))
    texts = work.changed(work.engine.read(work.units, ReadSome(needed)))
    write_texts(texts, scratch / "texts")
    read = ReadAnchors(scratch / "anchors.npy")
    follow = Follow(scratch / "texts", settings.substring_bytes)
    spans = work.engine.read(anchor_units(anchors), read).map(follow)
    emptied = write_spans(spans, scratch / "spans.npy", settings.min_chars)
    change = RemoveSpans(settings, scratch / "spans.npy")
    return work.followed_by(change, change.name), emptied


def write_index(work: Work, signed: Signed, dropped: Orders, out: Path) -> int:
    """Write the signatures of the documents that stayed, in their order; return how many."""
    n = 0
    pa = load_extra("pyarrow")
    with index_writer(out / INDEX, work.settings) as writer:
        for unit in signed.units:
            table = read_index(unit, "id", "key", "buckets", "sketch")
            orders = table.column(ORDER).to_numpy()
            keep = (orders >= work.first) & ~np.isin(orders, dropped, assume_unique=True)
            if keep.any():
                kept = table.filter(pa.array(keep))
                writer.add(kept.set_column(0, ORDER, pa.array(np.arange(n, n + kept.num_rows))))
                n += kept.num_rows
    return n


def _count_clusters(work: Work, kept: int, found: Decisions, emptied: Orders) -> int:
    stays = (found.originals == found.orders) & ~np.isin(found.orders, emptied)
    marked = stays & (found.orders >= work.first)
    return int(kept - np.count_nonzero(marked) + len(np.unique(found.roots[marked])))


@contextmanager
def _scratch(out: Path) -> Iterator[Path]:
    with disk_errors(out):
        folder = Path(tempfile.mkdtemp(prefix=".dedup-", dir=out)).resolve()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _shifted(folder: Path, by: int) -> list[Unit]:
    return [(path, group, first + by) for path, group, first in folder_units(folder)]


def _copies(work: Work, signed: Signed) -> dict[int, int]:
    rows = work.engine.read(signed.units, ReadKeys()).group("key", Copies())
    found: dict[int, int] = {}
    for table in rows:
        found.update(zip(table.column(ORDER).to_pylist(), table.column("home").to_pylist(), strict=True))
    return found


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


@dataclass(slots=True, eq=False)
class _Compare:
    """The two halves of finding pairs, each done by the engine."""

    work: Work
    signed: Signed
    round: int = 0

    def candidates(self, among: Orders) -> Candidates:
        """Return pairs of documents that share a bucket and whose sketches agree, one of them new."""
        self.round += 1
        path = self.work.scratch / f"among-{self.round}.npy"
        _save(path, among)
        rows = self.work.engine.read(self.signed.units, ReadBuckets(path)).group("band_key", BucketPairs())
        parts = [Candidates(*(np.zeros(0, kind) for kind in (np.int64, np.int64, bool)))]
        for table in rows:
            part = Candidates(*(table.column(name).to_numpy() for name in ("left", "right", "large")))
            part = part.where(part.right >= self.work.first)
            parts.append(part.where(self._may_reach(part)))
        names = Candidates.__slots__
        return Candidates(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def verify(self, left: Orders, right: Orders) -> NDArray[np.float64]:
        """Return the Jaccard similarity of pairs of documents."""
        if not len(left):
            return np.zeros(0)
        work, folder = self.work, self.work.scratch / f"sets-{self.round}"
        needed = work.scratch / f"needed-{self.round}.npy"
        _save(needed, np.unique(np.concatenate([left, right])))
        write_sets(self._ngrams(ReadSome(needed)), folder)
        pairs = work.scratch / f"pairs-{self.round}.npy"
        _save(pairs, np.stack([left, right], axis=1))
        compared = work.engine.read(pair_units(len(left)), ReadPairs(pairs)).map(Compare(folder))
        found = np.concatenate([table.column("jaccard").to_numpy() for table in compared])
        shutil.rmtree(folder)
        return found

    def _ngrams(self, read: ReadSome) -> Iterator[Table]:
        engine, ngrams = self.work.engine, NgramSets(self.work.settings)
        for old in self.work.olds:
            yield from engine.read(_shifted(old.folder, old.first), read).map(ngrams)
        yield from self.work.changed(engine.read(self.work.units, read)).map(ngrams)

    def _may_reach(self, pairs: Candidates) -> NDArray[np.bool_]:
        at = [np.searchsorted(self.signed.orders, side) for side in (pairs.left, pairs.right)]
        return may_reach(
            self.signed.sketches, Candidates(*at, pairs.large), self.work.settings.cluster_threshold
        )


def _save(path: Path, array: NDArray[Any]) -> None:
    with disk_errors(path):
        np.save(path, array)


def _ids(units: Sequence[Unit], found: Decisions) -> dict[int, str]:
    """Return the ids of the documents that marks speak of."""
    wanted = np.unique(np.concatenate([found.orders, found.roots, found.originals, found.homes]))
    ids: dict[int, str] = {}
    for unit in units:
        table = read_index(unit, "id")
        orders = table.column(ORDER).to_numpy()
        keep = np.flatnonzero(np.isin(orders, wanted, assume_unique=True))
        ids.update(zip(orders[keep].tolist(), table.column("id").take(keep).to_pylist(), strict=True))
    return ids


def _links_of_old(work: Work, pairs: Pairs, copies: Mapping[int, int]) -> Pairs:
    """Return a link from each old document in the pairs to the first of its cluster among them."""
    if not work.olds:
        return Pairs(*(np.zeros(0, kind) for kind in (np.int64, np.int64, np.float64)))
    homes = np.fromiter(copies.values(), np.int64, len(copies))
    involved = np.unique(np.concatenate([pairs.left, pairs.right, homes]))
    first: dict[str, int] = {}
    links = []
    for order, cluster in sorted(_old_clusters(work, involved).items()):
        links.append((first.setdefault(cluster, order), order))
    left, right = np.array(links, np.int64).reshape(-1, 2).T
    return Pairs(left, right, np.ones(len(left)))


def _old_clusters(work: Work, orders: Iterable[int]) -> dict[int, str]:
    """Return the names of the clusters that old documents are in already."""
    pq = load_extra("pyarrow.parquet")
    wanted = np.unique(np.asarray(orders, np.int64))
    found: dict[int, str] = {}
    for old in work.olds:
        for path, group, first in _shifted(old.folder, old.first):
            with pq.ParquetFile(path) as parquet:
                inside = wanted[
                    (wanted >= first) & (wanted < first + parquet.metadata.row_group(group).num_rows)
                ]
                if len(inside):
                    column = parquet.read_row_group(group, columns=["cluster"]).column("cluster")
                    found.update(zip(inside.tolist(), column.take(inside - first).to_pylist(), strict=True))
    return found
