"""Where the work on rows is done: in this process and its workers, or on a cluster, with the same result.

Stages are written against two protocols. An `Engine` reads units of input into `Rows`: tables of rows in
a stated order, made when they are asked for. Four operations are all there is: `map` a function over the
tables, `group` rows of one key, `distinct` (the first row of each key) and `write`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from luban.data.extras import load_extra
from luban.errors import ConfigError

Table = Any
"""A pyarrow.Table: that package is an extra."""
Function = Callable[[Table], Table]
"""Takes a table and returns one; it is sent to other processes, so it must be picklable."""
ORDER = "order"
"""Column of 64-bit places: whatever is done, and wherever, rows can be put back in the order of the input."""


class Rows(Protocol):
    """Rows as a stream of tables."""

    def map(self, function: Function) -> Rows:
        """Return the tables that the function makes of these; the order stays."""
        ...

    def group(self, key: str, function: Function) -> Rows:
        """Return what the function makes of rows brought together by a column.

        It is given tables of whole groups, sorted by key and then by `order`. What it returns comes in
        no stated order.
        """
        ...

    def distinct(self, key: str) -> Rows:
        """Return the first row, by `order`, of each value of a column; in no stated order."""
        ...

    def write(self, write: WriteFunction) -> list[Any]:
        """Hand the tables in order to one writer or several, and return what each of them says."""
        ...

    def __iter__(self) -> Iterator[Table]:
        """Bring the tables here, one after the other."""
        ...


class Engine(Protocol):
    """Reads input, on as many processes or machines as it has."""

    @property
    def scratch(self) -> Path:
        """Folder that all of them see, and that goes with the engine."""

    def read(self, units: Sequence[Any], function: Callable[[Any], Iterator[Table]]) -> Rows:
        """Return the tables of every unit, in the order of the units."""
        ...


WriteFunction = Callable[[Iterator[Table], str], Any]
"""Takes tables in order and a word to name its files by, which sort as the tables do; returns a picklable
account of what it wrote. The word is "" if there is one writer."""


class EngineSettings(Protocol):
    """What a stage's settings say of where it works."""

    @property
    def engine(self) -> str:
        """local, or ray."""

    @property
    def workers(self) -> int:
        """Processes; 0 chooses."""


def open_engine(settings: EngineSettings, scratch: Path) -> AbstractContextManager[Engine]:
    """Return the engine that the settings name; what it spills goes below `scratch`.

    with open_engine(settings, out) as engine: rows = engine.read(units, read)
    """
    if settings.engine == "local":
        from luban.data.local_engine import LocalEngine

        return LocalEngine(settings.workers, scratch)
    if settings.engine == "ray":
        from luban.data.ray_engine import RayEngine

        return RayEngine(settings.workers, scratch)
    raise ConfigError(f"engine = {settings.engine!r} is not known", fix="use local or ray")


@dataclass(frozen=True, slots=True)
class First:
    """Keeps the first row of each group of a table that is sorted by its key."""

    key: str

    def __call__(self, table: Table) -> Table:
        """Return one row a group."""
        return table.take(starts(table, self.key)) if table.num_rows else table


def starts(table: Table, key: str) -> Any:
    """Return the places (int64 array) at which a sorted table's groups begin."""
    np, pc = load_extra("numpy"), load_extra("pyarrow.compute")
    column = table.column(key).combine_chunks()
    if table.num_rows < 2:
        return np.arange(table.num_rows)
    changed = pc.not_equal(column.slice(1), column.slice(0, table.num_rows - 1))
    return np.flatnonzero(np.r_[True, changed.to_numpy(zero_copy_only=False)])
