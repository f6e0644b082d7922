"""Every engine does the four operations alike: one suite, which each of them passes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pa = pytest.importorskip("pyarrow")

from luban.data import local_engine  # noqa: E402
from luban.data.engine import First, open_engine  # noqa: E402
from luban.data.local_engine import LocalEngine  # noqa: E402
from luban.errors import ConfigError, DataError, MissingExtra  # noqa: E402

# Ray warns of its own settings.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{kind}")
    for kind in ("DeprecationWarning", "UserWarning", "FutureWarning")
]


@dataclass(frozen=True)
class Settings:
    engine: str = "local"
    workers: int = 1


@dataclass(frozen=True)
class Numbers:
    """Unit n: 20 numbers from 20 n, in two tables."""

    def __call__(self, unit: int) -> Iterator[Any]:
        for first in (20 * unit, 20 * unit + 10):
            order = list(range(first, first + 10))
            yield pa.table(
                {
                    "order": pa.array(order, pa.int64()),
                    "key": pa.array([b"%03d" % (n * n % 11) for n in order], pa.binary()),
                    "number": pa.array([n % 7 for n in order], pa.uint64()),
                    "id": [f"数{n}" for n in order],
                }
            )


@dataclass(frozen=True)
class Double:
    def __call__(self, table: Any) -> Any:
        return table.append_column("twice", pa.array([2 * n for n in table.column("order").to_pylist()]))


@dataclass(frozen=True)
class Sizes:
    """One row a group: its key, its size and its first and last order; wrong if groups are parted."""

    key: str = "key"

    def __call__(self, table: Any) -> Any:
        groups: dict[Any, list[int]] = {}
        for row in table.to_pylist():
            groups.setdefault(row[self.key], []).append(row["order"])
        assert all(group == sorted(group) for group in groups.values())
        return pa.table(
            {
                "key": list(groups),
                "order": [g[0] for g in groups.values()],
                "n": [len(g) for g in groups.values()],
            }
        )


@dataclass(frozen=True)
class ToFile:
    out: Path

    def __call__(self, tables: Iterator[Any], word: str) -> tuple[str, int]:
        rows = [row for table in tables for row in table.column("order").to_pylist()]
        (self.out / f"part{word}").write_text(" ".join(map(str, rows)))
        return word, len(rows)


@dataclass(frozen=True)
class Dies:
    """Kills the worker that meets number 35: the first time, or with no file to mark that by, always."""

    mark: Path | None

    def __call__(self, table: Any) -> Any:
        if 35 in table.column("order").to_pylist() and not (self.mark and self.mark.exists()):
            if self.mark:
                self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return table


@dataclass(frozen=True)
class Refuses:
    def __call__(self, table: Any) -> Any:
        raise DataError("number 35 is not welcome", fix="leave it out")


@pytest.fixture(scope="module", params=["local-1", "local-2", "ray"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """An engine that has started."""
    kind, _, workers = request.param.partition("-")
    if kind == "ray":
        request.getfixturevalue("ray_cluster")
    with ExitStack() as stack:
        small = pytest.MonkeyPatch()
        small.setattr(local_engine, "FIRST_BYTES", 100)
        small.setattr(local_engine, "SORT_ROWS", 16)
        stack.callback(small.undo)
        path = tmp_path_factory.mktemp("scratch")
        yield stack.enter_context(open_engine(Settings(kind, int(workers or 2)), path))


def column(rows: Any, name: str) -> list[Any]:
    return [value for table in rows for value in table.column(name).to_pylist()]


def test_mapping_keeps_every_row_in_order(engine: Any) -> None:
    rows = engine.read([0, 1, 2], Numbers()).map(Double())
    assert column(rows, "order") == list(range(60))
    assert column(rows, "twice") == list(range(0, 120, 2))


@pytest.mark.parametrize("key", ["key", "number"])  # bytes, and unsigned integers
def test_groups_are_whole_and_sorted(engine: Any, key: str) -> None:
    rows = engine.read(range(5), Numbers()).group(key, Sizes(key))
    found = {row["key"]: (row["order"], row["n"]) for table in rows for row in table.to_pylist()}
    expected: dict[Any, list[int]] = {}
    for i in range(100):
        expected.setdefault(b"%03d" % (i * i % 11) if key == "key" else i % 7, []).append(i)
    assert found == {k: (v[0], len(v)) for k, v in expected.items()}


def test_the_first_of_each_key_stays(engine: Any) -> None:
    rows = engine.read([0, 1], Numbers()).distinct("number")
    found = [(row["order"], row["id"]) for table in rows for row in table.to_pylist()]
    assert sorted(found) == [(i, f"数{i}") for i in range(7)]


def test_what_was_grouped_can_be_grouped_again(engine: Any) -> None:
    rows = engine.read([0, 1], Numbers()).distinct("number").map(Double()).group("key", Sizes())
    assert sum(column(rows, "n")) == 7


def test_writers_write_every_row_once_and_name_their_files_in_order(engine: Any, tmp_path: Path) -> None:
    accounts = engine.read([0, 1, 2], Numbers()).map(Double()).write(ToFile(tmp_path))
    assert sum(n for _, n in accounts) == 60
    parts = sorted(tmp_path.glob("part*"))
    assert [int(n) for part in parts for n in part.read_text().split()] == list(range(60))


def test_nothing_comes_of_nothing(engine: Any, tmp_path: Path) -> None:
    assert column(engine.read([], Numbers()).map(Double()), "order") == []
    assert column(engine.read([], Numbers()).group("key", Sizes()), "order") == []


def test_a_worker_that_is_killed_is_replaced_and_nothing_is_lost(engine: Any, tmp_path: Path) -> None:
    if isinstance(engine, LocalEngine) and engine._n_workers == 1:
        pytest.skip("the only worker is this process")
    rows = engine.read([0, 1, 2], Numbers()).map(Dies(tmp_path / "died"))
    assert column(rows, "order") == list(range(60))
    assert (tmp_path / "died").exists()


def test_an_error_in_a_function_reaches_the_caller(engine: Any) -> None:
    with pytest.raises(Exception, match="number 35 is not welcome"):
        column(engine.read([0, 1], Numbers()).map(Refuses()), "order")


def test_a_table_that_kills_every_worker_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_engine, "FIRST_BYTES", 100)
    with LocalEngine(2, tmp_path) as engine, pytest.raises(DataError, match="begin with id 数30"):
        column(engine.read([0, 1], Numbers()).map(Dies(None)), "order")
    assert list(tmp_path.iterdir()) == []


def test_workers_end_with_a_driver_that_is_killed(tmp_path: Path) -> None:
    code = """
import sys, time
from luban.data.worker import Worker
print(Worker().pid, flush=True)
time.sleep(60)
"""
    driver = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert driver.stdout is not None
    pid = int(driver.stdout.readline())
    driver.kill()
    driver.wait()
    deadline = time.monotonic() + 20
    while _is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _is_alive(pid)


def _is_alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_unknown_engines_and_missing_extras_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="engine = 'daft' is not known"):
        open_engine(Settings("daft"), tmp_path)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match="cluster"):
        open_engine(Settings("ray"), tmp_path)


def test_the_first_row_of_a_sorted_table_is_found() -> None:
    table = pa.table({"key": ["a", "a", "b"], "order": [1, 2, 0]})
    assert First("key")(table).column("order").to_pylist() == [1, 0]
    assert First("key")(table.slice(0, 0)).num_rows == 0
