"""What deduplication decided, in a file that every process looks up: who goes, why, and who is together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luban.data.clusters import Orders
from luban.data.engine import ORDER, Table
from luban.data.extras import load_extra
from luban.data.outcomes import settle
from luban.data.steps import drop_mark
from luban.files import disk_errors
from luban.records import Drop

EXACT, NEAR = "exact duplicates", "near-duplicates"
"""Steps of the funnel."""


@dataclass(frozen=True, slots=True, eq=False)
class Decisions:
    """Of the documents that are like another, sorted by order."""

    orders: Orders
    roots: Orders
    """The first document of the cluster."""
    originals: Orders
    """The kept document that this one duplicates; itself if it stays."""
    homes: Orders
    """The first document with the same text; itself if it is that."""
    jaccard: NDArray[np.float64]
    """Similarity to the original."""

    @property
    def dropped(self) -> Orders:
        """The documents that go."""
        return self.orders[self.originals != self.orders]


def decide(
    copies: Mapping[int, int], better: Mapping[int, tuple[int, float]], members: Orders, roots: Orders
) -> Decisions:
    """Put together the copies (order → first), the near-duplicates and the clusters' members."""
    orders = np.unique(np.concatenate([members, np.fromiter(copies, np.int64, len(copies))]))
    homes = np.fromiter((copies.get(i, i) for i in orders.tolist()), np.int64, len(orders))
    found = [better.get(home, (home, 1.0)) for home in homes.tolist()]
    originals = np.fromiter((original for original, _ in found), np.int64, len(orders))
    jaccard = np.fromiter((similarity for _, similarity in found), np.float64, len(orders))
    at = np.searchsorted(members, homes)
    inside = np.minimum(at, max(len(members) - 1, 0))
    linked = members[inside] == homes if len(members) else np.zeros(len(homes), bool)
    named = np.where(linked, roots[inside], homes) if len(members) else homes
    return Decisions(orders, named, originals, homes, jaccard)


def write_marks(path: Path, found: Decisions, ids: Mapping[int, str], clusters: Mapping[int, str]) -> None:
    """Write a row for each document that is like another; `clusters` names those that are named already."""
    pa = load_extra("pyarrow")

    def named(orders: Orders, where: NDArray[np.bool_] | None = None) -> Any:
        keep = np.ones(len(orders), bool) if where is None else where
        values = (ids[i] if k else None for i, k in zip(orders.tolist(), keep.tolist(), strict=True))
        return pa.array(list(values), pa.large_string())

    roots = [clusters.get(i, ids[i]) for i in found.roots.tolist()]
    table = pa.table(
        {
            ORDER: found.orders,
            "cluster": pa.array(roots, pa.large_string()),
            "original": named(found.originals, found.originals != found.orders),
            "same": named(found.homes, found.homes != found.orders),
            "jaccard": found.jaccard,
        }
    )
    with disk_errors(path), pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


@dataclass(frozen=True, slots=True)
class Mark:
    """Maps documents to the same ones with `cluster`, and with `drop` on duplicates."""

    path: Path

    def __call__(self, table: Table) -> Table:
        """Return the table with the marks of the file."""
        pa = load_extra("pyarrow")
        marks, orders = _load(self.path)
        begin, end = np.searchsorted(orders, table.column(ORDER).to_numpy()[[0, -1]], side="left")
        near = {row[ORDER]: row for row in marks.slice(begin, end + 1 - begin).to_pylist()}
        names = (ORDER, "id", "drop", "sizes")
        rows = zip(*(table.column(name).to_pylist() for name in names), strict=True)
        cluster, drops, sizes = [], {}, {}
        for row, (order, own, drop, before) in enumerate(rows):
            mark = near.get(order)
            cluster.append(mark["cluster"] if mark else own)
            if drop is not None:
                continue
            gone, passed = _outcome(mark)
            sizes[row] = passed * before[-1:]
            if gone is not None:
                drops[row] = gone
        table = settle(table, drops, sizes)
        column = pa.array(cluster, pa.large_string())
        at = table.schema.get_field_index("cluster")
        add = table.append_column if at < 0 else partial(table.set_column, at)
        return add("cluster", column)


def _outcome(mark: Mapping[str, Any] | None) -> tuple[str | None, int]:
    """Return why a document goes, and how many of the two steps it passed."""
    if mark is None or mark["original"] is None:
        return None, 2
    original, jaccard = mark["original"], mark["jaccard"]
    if mark["same"] is not None:
        step, drop = EXACT, Drop("exact duplicate", f"the same text as {mark['same']}")
    else:
        step, drop = NEAR, Drop("near-duplicate", f"Jaccard {jaccard:.2f} with {original}")
    more = {"duplicate_of": original, "jaccard": round(jaccard, 4)}
    return drop_mark(drop, step, **more)["drop"], int(step == NEAR)


@lru_cache(maxsize=1)
def _load(path: Path) -> tuple[Table, Orders]:
    pa = load_extra("pyarrow")
    table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    return table, table.column(ORDER).to_numpy()
