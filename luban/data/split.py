"""Documents to train, validation and test: by hash, a whole cluster of similar documents at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from luban.data.documents import SPLITS, read_documents, write_documents
from luban.data.funnel import Kept, count_bytes, document_counts, source_title
from luban.data.settings import SplitSettings
from luban.errors import DataError
from luban.log import Log


def split(settings: SplitSettings, inputs: Mapping[str, Path], out: Path, log: Log) -> dict[str, Any]:
    """Write the documents again with a column `split`."""
    folder = inputs["documents"]
    clusters: set[str] = set()
    clustered = True
    for row in read_documents(folder):
        clustered = clustered and "cluster" in row
        clusters.add(row.get("cluster", row["id"]))
    if not clustered:
        log.warn("the documents have no clusters, so similar ones may be parted: run dedup before split")
    part_of = assign(clusters, validation=settings.validation, test=settings.test, seed=settings.seed)
    kept = Kept()
    splits = {name: {"documents": 0, "bytes": 0} for name in SPLITS}

    def rows() -> Iterator[dict[str, Any]]:
        for row in read_documents(folder):
            part = part_of[row.get("cluster", row["id"])]
            size = count_bytes(row["text"])
            splits[part]["documents"] += 1
            splits[part]["bytes"] += size
            kept.add(row["language"], row["licence"], source_title(row["source"]), size)
            yield {**row, "split": part}

    write_documents(out, rows())
    counts = document_counts(kept.documents, kept.size_bytes, kept)
    return {
        "counts": {**counts, **{name: part["documents"] for name, part in splits.items()}},
        "splits": splits,
        "funnel": [],
        **kept.facts(),
        "rejects": 0,
    }


def assign(clusters: Iterable[str], *, validation: float, test: float, seed: int) -> dict[str, str]:
    """Map each cluster to train, validation or test by its hash, so that order does not matter.

    Each part with a share above 0 gets a cluster, however few there are; a cluster's part changes
    with the other clusters only then. Raises DataError if there are fewer clusters than parts.
    """
    shares = {"test": test, "validation": validation}
    ordered = sorted((_unit(c, seed), c) for c in set(clusters))
    wanted = [name for name, share in shares.items() if share > 0]
    if len(ordered) < len(wanted) + 1:
        raise DataError(
            f"{len(ordered)} clusters of similar documents cannot fill train, {' and '.join(wanted)}",
            fix="give more documents, or set " + " and ".join(f"split.{name}=0" for name in wanted),
        )
    found: dict[str, str] = {}
    bound, at = 0.0, 0
    for i, name in enumerate(wanted):
        bound += shares[name]
        still_needed = len(wanted) - i  # one for each later part and one for train
        first = at
        while at < len(ordered) - still_needed and (at == first or ordered[at][0] < bound):
            found[ordered[at][1]] = name
            at += 1
    found.update((cluster, "train") for _, cluster in ordered[at:])
    return found


def fold_of(clusters: Iterable[str], folds: int, seed: int) -> dict[str, int]:
    """Map each cluster to a fold, counted from 1, by the order of the hashes: folds are of equal size.

    Raises DataError if there are fewer clusters than folds.
    """
    ordered = sorted(set(clusters), key=lambda cluster: (_unit(cluster, seed), cluster))
    if len(ordered) < folds:
        raise DataError(
            f"{len(ordered)} clusters of similar texts cannot fill {folds} folds",
            fix="give more rows, or fewer folds",
        )
    return {cluster: 1 + i % folds for i, cluster in enumerate(ordered)}


def _unit(cluster: str, seed: int) -> float:
    """A number in [0, 1) from the hash of a cluster and the seed."""
    digest = hashlib.sha256(f"{seed}\0{cluster}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
