"""What a step that works on whole tables says of their rows: which go, and how long the others are now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from luban.data.engine import Table
from luban.data.extras import load_extra


def settle(
    table: Table,
    drops: Mapping[int, str],
    sizes: Mapping[int, Sequence[int]],
    texts: Mapping[int, str] | None = None,
) -> Table:
    """Return the table with rows dropped (row → the column `drop`), grown and rewritten.

    `sizes`: for each row, what to append to its bytes after each step; none for a row that has gone.
    """
    pa = load_extra("pyarrow")
    old = table.column("drop").to_pylist()
    grown = [[*before, *sizes.get(row, ())] for row, before in enumerate(table.column("sizes").to_pylist())]
    columns: dict[str, Any] = {
        "drop": pa.array([drops.get(row, drop) for row, drop in enumerate(old)], pa.large_string()),
        "sizes": pa.array(grown, pa.list_(pa.int64())),
    }
    if texts:
        current = table.column("text").to_pylist()
        columns["text"] = pa.array([texts.get(r, t) for r, t in enumerate(current)], pa.large_string())
    for name, column in columns.items():
        table = table.set_column(table.schema.get_field_index(name), name, column)
    return table
