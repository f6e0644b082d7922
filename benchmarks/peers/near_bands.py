"""Bands, buckets and clusters in plain numpy, for peers that make signatures and leave the rest to users."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

BANDS, ROWS = 14, 8


def finish(
    ids: Sequence[str], same: dict[str, str], owners: Sequence[str], signatures: Any, out: Path
) -> None:
    """Join the documents that share a band, and write id → the first of its group, for those that go.

    `same`: exact copies and their first; `owners` are the documents that the signatures are of.
    """
    signatures = np.ascontiguousarray(signatures, np.uint64)
    place = {name: i for i, name in enumerate(ids)}
    parent = list(range(len(ids)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    links = [(place[a], place[b]) for a, b in same.items()]
    for band in range(BANDS):
        part = np.ascontiguousarray(signatures[:, band * ROWS : (band + 1) * ROWS])
        keys = part.view([("", np.uint64)] * ROWS).ravel()
        _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
        for i in np.flatnonzero(first[inverse] != np.arange(len(owners))).tolist():
            links.append((place[owners[first[inverse[i]]]], place[owners[i]]))
    for i, j in links:
        a, b = root(i), root(j)
        parent[max(a, b)] = min(a, b)
    gone = {name: ids[root(i)] for i, name in enumerate(ids) if root(i) != i}
    out.write_text(json.dumps(gone))


def arguments() -> tuple[Path, Path, bool]:
    """Return the documents folder, the file to write, and whether the texts are Chinese."""
    return Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "zh"
