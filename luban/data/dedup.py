"""Drop exact and near duplicates; give every document that stays its cluster of similar ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from luban.data.documents import DROPPED, JsonLines, dropped_row, read_documents, write_documents
from luban.data.funnel import FunnelStep, Kept, count_bytes, document_counts, source_title
from luban.data.near import NearClusters, near_clusters
from luban.data.settings import DedupSettings
from luban.log import Log
from luban.records import Drop


def dedup(settings: DedupSettings, inputs: Mapping[str, Path], out: Path, log: Log) -> dict[str, Any]:
    """Keep the first of each group of duplicates; write `cluster`, which a split never parts."""
    folder = inputs["documents"]
    ids: list[str] = []

    def texts() -> Iterator[str]:
        for row in read_documents(folder):
            ids.append(row["id"])
            yield row["text"]

    near = near_clusters(texts(), settings)
    log.say(f"dedup: {sum(d is not None for d in near.duplicate_of)} duplicates among {len(ids)} documents")
    steps = {"exact": FunnelStep("exact duplicates"), "near": FunnelStep("near-duplicates")}
    kept = Kept()
    with JsonLines(out / DROPPED) as dropped:
        rows = _kept_rows(read_documents(folder), ids, near, steps, dropped)
        write_documents(out, _counted(rows, kept))
    n, size = steps["exact"].documents_in, steps["exact"].bytes_in
    clusters = {c for c, d in zip(near.cluster, near.duplicate_of, strict=True) if d is None}
    return {
        "counts": {**document_counts(n, size, kept), "clusters": len(clusters)},
        "funnel": [step.facts() for step in steps.values()],
        **kept.facts(),
        "rejects": 0,
    }


def _kept_rows(
    rows: Iterator[dict[str, Any]],
    ids: list[str],
    near: NearClusters,
    steps: Mapping[str, FunnelStep],
    dropped: JsonLines,
) -> Iterator[dict[str, Any]]:
    for i, row in enumerate(rows):
        size = count_bytes(row["text"])
        original = near.duplicate_of[i]
        if original is not None and near.exact[i]:
            drop = Drop("exact duplicate", f"the same text as {ids[original]}")
            step = "exact"
        elif original is not None:
            drop = Drop("near-duplicate", f"Jaccard {near.similarity[i]:.2f} with {ids[original]}")
            step = "near"
            steps["exact"].passed(size, size)
        else:
            steps["exact"].passed(size, size)
            steps["near"].passed(size, size)
            yield {**row, "cluster": ids[near.cluster[i]]}
            continue
        steps[step].dropped(row["id"], row["text"], size, drop)
        line = dropped_row(row, drop, steps[step].step)
        dropped.add({**line, "duplicate_of": ids[original], "jaccard": round(near.similarity[i], 4)})


def _counted(rows: Iterator[dict[str, Any]], kept: Kept) -> Iterator[dict[str, Any]]:
    for row in rows:
        kept.add(row["language"], row["licence"], source_title(row["source"]), count_bytes(row["text"]))
        yield row
