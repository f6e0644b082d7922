"""How many documents are in a cluster of similar ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from luban.data.engine import ORDER, Engine, Table, starts
from luban.data.extras import load_extra
from luban.data.steps import folder_units
from luban.data.tallies import Spread

CLUSTER = "cluster"


def cluster_sizes(engine: Engine, folder: Any) -> dict[str, Any]:
    """Return the spread of the sizes of clusters; nothing if the documents have none."""
    units = [unit for unit in folder_units(folder) if _has_clusters(unit)]
    if not units:
        return {}
    sizes = Spread()
    for table in engine.read(units, read_clusters).group(CLUSTER, Sizes()):
        for size in table.column("size").to_pylist():
            sizes.add(size)
    return {"clusters": sizes.n, "alone": sizes.buckets[1], "most": sizes.most, "sizes": sizes.facts()}


def _has_clusters(unit: tuple[str, int, int]) -> bool:
    with load_extra("pyarrow.parquet").ParquetFile(unit[0]) as parquet:
        return CLUSTER in parquet.schema_arrow.names


def read_clusters(unit: tuple[str, int, int]) -> Iterator[Table]:
    """Yield the clusters of a row group's documents."""
    pa = load_extra("pyarrow")
    path, group, first = unit
    with load_extra("pyarrow.parquet").ParquetFile(path) as parquet:
        for batch in parquet.iter_batches(50_000, row_groups=[group], columns=[CLUSTER], use_threads=False):
            n = batch.num_rows
            table = pa.Table.from_batches([batch])
            table = table.append_column(ORDER, pa.array(range(first, first + n), pa.int64()))
            yield table.filter(load_extra("pyarrow.compute").is_valid(table.column(CLUSTER)))
            first += n


@dataclass(frozen=True, slots=True)
class Sizes:
    """Counts the rows of each cluster."""

    def __call__(self, table: Table) -> Table:
        """Return one row a cluster."""
        pa, np = load_extra("pyarrow"), load_extra("numpy")
        begins = starts(table, CLUSTER)
        return pa.table({"size": pa.array(np.diff(np.r_[begins, table.num_rows]), pa.int64())})
