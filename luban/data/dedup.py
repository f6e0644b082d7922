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
from pathlib import Path
from typing import Any

import numpy as np

from luban.data import compare, substrings
from luban.data.clusters import Orders, Pairs, duplicates, join
from luban.data.dedup_index import INDEX, index_writer, open_indexes, read_index
from luban.data.dedup_work import Signed, Work, save, shifted, sign_all
from luban.data.engine import ORDER, open_engine
from luban.data.extras import load_extra
from luban.data.lines import Frequent, Kind, LineKeys, RemoveLines, write_frequent
from luban.data.marks import EXACT, NEAR, Decisions, Mark, decide, write_marks
from luban.data.near import find_pairs
from luban.data.pairing import Pairing, find_copies
from luban.data.reading import Unit
from luban.data.settings import DedupSettings
from luban.data.steps import check_count, folder_units, write_rows
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
    own = (folder / INDEX).exists()
    if not own and any("cluster" in _columns(path) for path, *_ in folder_units(folder)[:1]):
        log.warn(f"the column cluster of {folder} gives way to the clusters found here")
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


def find(work: Work, signed: Signed) -> Decisions:
    """Decide which documents go, and which belong together."""
    copies = find_copies(work, signed)
    own = np.setdiff1d(signed.orders, np.fromiter(copies, np.int64, len(copies)), assume_unique=True)
    pairing = Pairing(work, signed)
    pairs = find_pairs(own, pairing.candidates, pairing.verify, work.settings)
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
    save(needed, np.unique(np.concatenate([anchors["order"], anchors["other"]])))
    write_texts(work.some(needed), scratch / "texts")
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


def _columns(path: str) -> list[str]:
    return list(load_extra("pyarrow.parquet").read_schema(path).names)


@contextmanager
def _scratch(out: Path) -> Iterator[Path]:
    with disk_errors(out):
        folder = Path(tempfile.mkdtemp(prefix=".dedup-", dir=out)).resolve()
    try:
        yield folder
    finally:
        compare.let_go()
        substrings.let_go()
        shutil.rmtree(folder, ignore_errors=True)


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
        none = np.zeros(0, np.int64)
        return Pairs(none, none, np.zeros(0))
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
        for path, group, first in shifted(old.folder, old.first):
            with pq.ParquetFile(path) as parquet:
                inside = wanted[
                    (wanted >= first) & (wanted < first + parquet.metadata.row_group(group).num_rows)
                ]
                if len(inside):
                    column = parquet.read_row_group(group, columns=["cluster"]).column("cluster")
                    found.update(zip(inside.tolist(), column.take(inside - first).to_pylist(), strict=True))
    return found
