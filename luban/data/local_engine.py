"""The engine of one machine: worker processes for `map`, DuckDB, which spills to disk, for `group`."""

from __future__ import annotations

import os
import pickle
import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Any

from luban.data.engine import ORDER, First, Function, Table, WriteFunction, starts
from luban.data.extras import load_extra
from luban.data.worker import Worker, WorkerDied
from luban.errors import DataError
from luban.files import disk_errors

FIRST_BYTES = 8_000_000  # so much is worked on here: it takes less time than starting processes
TRIES = 3
SORT_MEMORY = "256MB"
SORT_ROWS = 100_000  # rows of a table of whole groups, about


class LocalEngine:
    """Works in this process, and in worker processes once there is enough to do."""

    def __init__(self, workers: int, scratch: Path):
        self._n_workers = workers or len(os.sched_getaffinity(0))
        self._parent = scratch
        self._pool: Pool | None = None

    def __enter__(self) -> LocalEngine:
        with disk_errors(self._parent):
            self.scratch = Path(tempfile.mkdtemp(prefix=".spill-", dir=self._parent))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.close()
        shutil.rmtree(self.scratch, ignore_errors=True)

    def read(self, units: Sequence[Any], function: Callable[[Any], Iterator[Table]]) -> LocalRows:
        """Return the tables of every unit, read here, in the order of the units."""
        return LocalRows(self, lambda: (table for unit in units for table in function(unit)))

    def apply(self, function: Function, tables: Iterable[Table]) -> Iterator[Table]:
        """Yield the function's results in the order of the tables."""
        tables = iter(tables)
        n_bytes = 0
        for table in tables:
            yield function(table)
            n_bytes += table.nbytes
            if n_bytes > FIRST_BYTES and self._n_workers > 1:
                break
        else:
            return
        self._pool = self._pool or Pool(self._n_workers)
        yield from self._pool.map(function, tables)


@dataclass(frozen=True, slots=True, eq=False)
class LocalRows:
    """Tables that are made when they are asked for, each time anew."""

    engine: LocalEngine
    source: Callable[[], Iterator[Table]]
    functions: tuple[Function, ...] = ()

    def map(self, function: Function) -> LocalRows:
        """Return these tables after one function more; all of them are applied in one pass."""
        return LocalRows(self.engine, self.source, (*self.functions, function))

    def group(self, key: str, function: Function) -> LocalRows:
        """Return what the function makes of whole groups, sorted by key and then by `order`."""
        return LocalRows(self.engine, lambda: _sorted(self, key, self.engine.scratch), (function,))

    def distinct(self, key: str) -> LocalRows:
        """Return the first row of each value of a column."""
        return self.group(key, First(key))

    def write(self, write: WriteFunction) -> list[Any]:
        """Hand all tables to one writer in this process."""
        return [write(iter(self), "")]

    def __iter__(self) -> Iterator[Table]:
        if not self.functions:
            return self.source()
        return self.engine.apply(Chain(self.functions), self.source())


@dataclass(frozen=True, slots=True)
class Chain:
    """Functions one after the other."""

    functions: tuple[Function, ...]

    def __call__(self, table: Table) -> Table:
        """Return what the last of them makes of it."""
        for function in self.functions:
            table = function(table)
        return table


class Pool:
    """Worker processes, each fed by a thread; one that dies is replaced, and its table given to another."""

    def __init__(self, size: int):
        self._threads = ThreadPoolExecutor(size, "luban-worker")
        self._idle: SimpleQueue[Worker] = SimpleQueue()
        self._all: list[Worker] = []
        self._size = size
        for _ in range(size):
            self._start()

    def map(self, function: Function, tables: Iterator[Table]) -> Iterator[Table]:
        """Yield the results in the order of the tables; at most twice as many as workers wait."""
        pickled = pickle.dumps(function)
        waiting: deque[Future[Table]] = deque()
        try:
            for table in tables:
                waiting.append(self._threads.submit(self._call, pickled, table))
                if len(waiting) >= 2 * self._size:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

    def close(self) -> None:
        """End the processes."""
        for worker in self._all:
            worker.close()
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _start(self) -> None:
        worker = Worker()
        self._all.append(worker)
        self._idle.put(worker)

    def _call(self, function: bytes, table: Table) -> Table:
        for _ in range(TRIES):
            worker = self._idle.get()
            try:
                result = worker.call(function, table)
            except WorkerDied:
                self._start()
                continue
            except BaseException:
                self._idle.put(worker)
                raise
            self._idle.put(worker)
            return result
        first = table.column("id")[0].as_py() if "id" in table.column_names and table.num_rows else "?"
        raise DataError(
            f"{TRIES} worker processes died over the same {table.num_rows} rows, which begin with id {first}",
            fix="look for what kills them (memory?); workers=1 works in this process alone",
        )


def _sorted(tables: Iterable[Table], key: str, scratch: Path) -> Iterator[Table]:
    """Yield tables of whole groups, sorted by key and order, through a DuckDB file."""
    pa = load_extra("pyarrow")
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        database = load_extra("duckdb").connect(str(Path(folder) / "rows.duckdb"))
        try:
            database.execute(f"SET memory_limit='{SORT_MEMORY}'")
            database.execute("SET threads=1")
            database.execute("SET preserve_insertion_order=false")
            n_tables = 0
            for table in tables:
                if not table.num_columns:
                    continue
                database.register("incoming", table)
                verb = "INSERT INTO rows" if n_tables else "CREATE TABLE rows AS"
                database.execute(f"{verb} SELECT * FROM incoming")
                database.unregister("incoming")
                n_tables += 1
            if not n_tables:
                return
            found = database.sql(f'SELECT * FROM rows ORDER BY "{key}", "{ORDER}"')
            rest = None
            for batch in found.to_arrow_reader(SORT_ROWS):
                table = pa.Table.from_batches([batch])
                table = table if rest is None else pa.concat_tables([rest, table])
                last = int(starts(table, key)[-1]) if table.num_rows else 0
                if last:
                    yield table.slice(0, last)
                rest = table.slice(last)
            if rest is not None and rest.num_rows:
                yield rest
        finally:
            database.close()
