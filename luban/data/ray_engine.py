"""The engine of a cluster: Ray Data moves the rows, retries what a lost machine was doing, and shuffles.

Folders must be on a file system that every machine sees under the same path, and Luban be installed on
all of them.
"""

from __future__ import annotations

import logging
import os
import pickle
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from luban.data.engine import ORDER, First, Function, Table, WriteFunction
from luban.data.extras import load_extra
from luban.data.local_engine import Chain
from luban.files import disk_errors

BUCKET = "bucket"
BUCKETS_PER_CPU = 2
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # no telemetry
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


class RayEngine:
    """Works on the cluster that RAY_ADDRESS names, or on one that it starts on this machine and ends."""

    def __init__(self, workers: int, scratch: Path):
        os.environ.update({name: value for name, value in _QUIET.items() if name not in os.environ})
        self._ray = load_extra("ray", "cluster")
        self._workers, self._parent = workers or None, scratch
        self._is_ours = False

    def __enter__(self) -> RayEngine:
        ray = self._ray
        with disk_errors(self._parent):
            self.scratch = Path(tempfile.mkdtemp(prefix=".spill-", dir=self._parent))
        if not ray.is_initialized():
            on_cluster = "RAY_ADDRESS" in os.environ
            limits = {} if on_cluster else {"num_cpus": self._workers, "include_dashboard": False}
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **limits)
            self._is_ours = True
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        context = load_extra("ray.data", "cluster").DataContext.get_current()
        context.execution_options.preserve_order = True
        # Its hash shuffle starts processes anew for each shuffle, which takes seconds.
        strategies = load_extra("ray.data.context", "cluster").ShuffleStrategy
        context.shuffle_strategy = strategies.SORT_SHUFFLE_PULL_BASED
        context.enable_progress_bars = False
        self.n_buckets = BUCKETS_PER_CPU * max(2, int(ray.cluster_resources().get("CPU", 2)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.scratch, ignore_errors=True)
        if self._is_ours:
            self._ray.shutdown()

    def read(self, units: Sequence[Any], function: Callable[[Any], Iterator[Table]]) -> RayRows:
        """Return the tables of every unit, each read by one task, in the order of the units."""
        return RayRows(self, self.spread(units), Read(function))

    def spread(self, items: Sequence[Any]) -> Any:
        """Return a data set of pickled items, one a task."""
        rows = [{"item": pickle.dumps(item)} for item in items]
        data = load_extra("ray.data", "cluster")
        return data.from_items(rows, override_num_blocks=max(1, len(rows)))


@dataclass(frozen=True, slots=True)
class Read:
    """Reads a unit, and applies functions to its tables."""

    read: Callable[[Any], Iterator[Table]]
    functions: tuple[Function, ...] = ()

    def __call__(self, batch: Table) -> Iterator[Table]:
        """Yield the tables of the units in a batch of pickled ones."""
        chain = Chain(self.functions)
        for item in batch.column("item").to_pylist():
            for table in self.read(pickle.loads(item)):
                if table.num_rows:
                    yield chain(table)


@dataclass(frozen=True, slots=True)
class Write:
    """Reads a unit, applies functions, and writes what comes out."""

    read: Read
    write: WriteFunction

    def __call__(self, batch: Table) -> Table:
        """Return the writers' accounts, pickled."""
        pa = load_extra("pyarrow")
        accounts = []
        for item in range(batch.num_rows):
            tables = self.read(batch.slice(item, 1))
            first = next(tables, None)
            if first is not None:
                word = f"-{first.column(ORDER)[0].as_py():016x}"
                accounts.append(pickle.dumps(self.write(_chained(first, tables), word)))
        return pa.table({"account": pa.array(accounts, pa.large_binary())})


def _chained(first: Table, others: Iterator[Table]) -> Iterator[Table]:
    yield first
    yield from others


@dataclass(frozen=True, slots=True, eq=False)
class RayRows:
    """Tables that tasks make of units when they are asked for."""

    engine: RayEngine
    units: Any
    reading: Read

    def map(self, function: Function) -> RayRows:
        """Return these tables after one function more; a task applies all of them."""
        return replace(self, reading=replace(self.reading, functions=(*self.reading.functions, function)))

    def group(self, key: str, function: Function) -> ShuffledRows:
        """Return what the function makes of whole groups, sorted by key and then by `order`."""
        n = self.engine.n_buckets
        return ShuffledRows(self._tables(Bucketing(key, n)), (WholeGroups(key), function), n)

    def distinct(self, key: str) -> ShuffledRows:
        """Return the first row of each value of a column."""
        return self.group(key, First(key))

    def write(self, write: WriteFunction) -> list[Any]:
        """Write on the workers, the rows of a unit by one task."""
        accounts = _map(self.units, Write(self.reading, write), batch_size=1)
        return [pickle.loads(row["account"]) for row in accounts.iter_rows()]

    def __iter__(self) -> Iterator[Table]:
        return _tables(self._tables())

    def _tables(self, *more: Function) -> Any:
        reading = replace(self.reading, functions=(*self.reading.functions, *more))
        return _map(self.units, reading, batch_size=1)


@dataclass(frozen=True, slots=True)
class Bucketing:
    """Numbers the bucket of each row's key: rows of one key share it."""

    key: str
    n_buckets: int

    def __call__(self, table: Table) -> Table:
        """Return the table with the column `bucket`."""
        pa, np = load_extra("pyarrow"), load_extra("numpy")
        column = table.column(self.key)
        if pa.types.is_integer(column.type):
            found = column.to_numpy() % np.array(self.n_buckets, column.to_numpy().dtype)
        else:
            values = (v if isinstance(v, bytes) else str(v).encode() for v in column.to_pylist())
            found = [zlib.crc32(v) % self.n_buckets for v in values]
        return table.append_column(BUCKET, pa.array(found, pa.int64()))


@dataclass(frozen=True, slots=True)
class WholeGroups:
    """Sorts a bucket by its keys, so that each group lies together."""

    key: str

    def __call__(self, table: Table) -> Table:
        """Return the table sorted by key and `order`, without the bucket."""
        return table.sort_by([(self.key, "ascending"), (ORDER, "ascending")]).drop_columns([BUCKET])


@dataclass(frozen=True, slots=True, eq=False)
class ShuffledRows:
    """Rows brought together in buckets; they have no order of their own."""

    buckets: Any
    functions: tuple[Function, ...]
    n_buckets: int

    def map(self, function: Function) -> ShuffledRows:
        """Return these tables after one function more."""
        return replace(self, functions=(*self.functions, function))

    def group(self, key: str, function: Function) -> ShuffledRows:
        """Return what the function makes of whole groups of another column."""
        again = _map(self._data(), Bucketing(key, self.n_buckets), batch_size=None)
        return ShuffledRows(again, (WholeGroups(key), function), self.n_buckets)

    def distinct(self, key: str) -> ShuffledRows:
        """Return the first row of each value of a column."""
        return self.group(key, First(key))

    def write(self, write: WriteFunction) -> list[Any]:
        """Write here, in no stated order."""
        return [write(iter(self), "")]

    def __iter__(self) -> Iterator[Table]:
        return _tables(self._data())

    def _data(self) -> Any:
        function = partial(_apply, Chain(self.functions))  # Ray wants a function with a name
        return self.buckets.groupby(BUCKET, num_partitions=self.n_buckets).map_groups(
            function, batch_format="pyarrow"
        )


def _apply(function: Function, table: Table) -> Table:
    return function(table)


def _map(data: Any, function: Callable[[Table], Any], batch_size: int | None) -> Any:
    return data.map_batches(function, batch_size=batch_size, batch_format="pyarrow", zero_copy_batch=True)


def _tables(data: Any) -> Iterator[Table]:
    for table in data.iter_batches(batch_size=None, batch_format="pyarrow"):
        if table.num_rows:
            yield table
