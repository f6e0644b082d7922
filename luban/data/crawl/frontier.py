"""The frontier: every address seen and what became of it, in SQLite, so that kill -9 loses nothing.

Changes gather in memory and are committed together, after the WARC records they speak of are in their file.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from luban.data.crawl.urls import Url

State = Literal["queued", "in flight", "fetched", "skipped", "failed"]
Kind = Literal["page", "sitemap", "anyway"]
"""What an address holds; "anyway": a page to keep although it names another as canonical."""
Mark = tuple[int, int]
"""Number of a WARC file, and its length in bytes."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS urls (
  id INTEGER PRIMARY KEY, key INTEGER NOT NULL UNIQUE, url TEXT NOT NULL, host TEXT NOT NULL,
  kind TEXT NOT NULL, depth INTEGER NOT NULL, hops INTEGER NOT NULL, via INTEGER NOT NULL,
  state TEXT NOT NULL, reason TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
  http INTEGER, bytes INTEGER, seconds REAL, digest TEXT, canonical TEXT,
  fetched TEXT, warc INTEGER, offset INTEGER, length INTEGER, etag TEXT, modified TEXT,
  type TEXT, charset TEXT);
CREATE INDEX IF NOT EXISTS waiting ON urls (host, id) WHERE state = 'queued';
CREATE INDEX IF NOT EXISTS digests ON urls (digest) WHERE digest IS NOT NULL;
CREATE INDEX IF NOT EXISTS stands_for ON urls (canonical) WHERE reason = 'canonical';
CREATE TABLE IF NOT EXISTS hosts (
  host TEXT PRIMARY KEY, not_before REAL NOT NULL, crawl_delay REAL NOT NULL, failures INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS robots (
  origin TEXT PRIMARY KEY, text TEXT NOT NULL, read_at REAL NOT NULL, unreachable TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS scope (host TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS marks (
  name TEXT PRIMARY KEY, file INTEGER NOT NULL, length INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS previous (
  key INTEGER PRIMARY KEY, warc TEXT, offset INTEGER, length INTEGER, etag TEXT, modified TEXT, digest TEXT);
"""
_INSERT = (
    "INSERT INTO urls (id, key, url, host, kind, depth, hops, via, state, reason)"
    " VALUES (?,?,?,?,?,?,?,?,?,?)"
)
_FINISH = (
    "UPDATE urls SET state=?, reason=?, attempts=?, http=?, bytes=?, seconds=?, digest=?, canonical=?,"
    " fetched=?, warc=?, offset=?, length=?, etag=?, modified=?, type=?, charset=? WHERE id=?"
)


@dataclass(frozen=True, slots=True)
class Entry:
    """An address that waits to be fetched."""

    id: int
    url: Url
    kind: Kind
    depth: int
    hops: int
    """Redirects that led here."""
    via: int
    """The entry that named it; 0 for a seed."""
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an address."""

    state: State
    reason: str
    http: int | None = None
    bytes: int | None = None
    """Of the decoded body."""
    seconds: float | None = None
    digest: str | None = None
    canonical: str | None = None
    fetched: str | None = None
    """ISO 8601."""
    warc: int | None = None
    offset: int | None = None
    length: int | None = None
    etag: str | None = None
    modified: str | None = None
    type: str | None = None
    charset: str | None = None


@dataclass(slots=True)
class Pending:
    """Changes since the last commit."""

    added: list[tuple[Any, ...]] = field(default_factory=list)
    in_flight: list[tuple[int, int]] = field(default_factory=list)
    finished: list[tuple[Any, ...]] = field(default_factory=list)
    tables: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)
    digests: dict[str, tuple[str, str]] = field(default_factory=dict)
    finished_ids: dict[int, Outcome] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.added or self.in_flight or self.finished or self.tables)


class Frontier:
    """All addresses of a crawl. One process at a time."""

    def __init__(self, path: Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self.db = sqlite3.connect(path, isolation_level=None)
        # NORMAL syncs at checkpoints only: the WARC marks below make up for what a power cut may take back.
        self.db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-65536;")
        self.db.executescript(_SCHEMA)
        self.pending = Pending()
        self._seen: set[int] = set()
        (self._last_id,) = self.db.execute("SELECT coalesce(max(id), 0) FROM urls").fetchone()
        (self.n_waiting,) = self.db.execute(
            "SELECT count(*) FROM urls WHERE state IN ('queued', 'in flight')"
        ).fetchone()

    def close(self) -> None:
        """Close the file, folding the write-ahead log into it."""
        self.db.close()

    # Addresses in

    def is_known(self, key: int) -> bool:
        """Whether the address was seen before."""
        if key in self._seen:
            return True
        if self.db.execute("SELECT 1 FROM urls WHERE key=?", (key,)).fetchone() is None:
            return False
        self._seen.add(key)
        return True

    def add(self, url: Url, kind: Kind, depth: int, hops: int, via: int) -> Entry:
        """Queue an address that is not known yet."""
        self.n_waiting += 1
        self._insert(url.key, url.text, url.host, kind, depth, hops, via, "queued", "")
        return Entry(self._last_id, url, kind, depth, hops, via)

    def skip(self, key: int, text: str, host: str, depth: int, via: int, reason: str) -> None:
        """Note an address that is not known yet and will not be fetched."""
        self._insert(key, text, host, "page", depth, 0, via, "skipped", reason)

    def _insert(self, key: int, *values: Any) -> None:
        self._last_id += 1
        self._seen.add(key)
        self.pending.added.append((self._last_id, key, *values))

    # Addresses out

    def hosts_waiting(self) -> list[tuple[str, int]]:
        """Return each host with queued addresses, and how many."""
        return self.db.execute(
            "SELECT host, count(*) FROM urls WHERE state='queued' GROUP BY host ORDER BY min(id)"
        ).fetchall()

    def waiting(self, host: str, after: int, n: int) -> list[tuple[Any, ...]]:
        """Return up to `n` committed queued addresses: (id, url, kind, depth, hops, via, attempts)."""
        return self.db.execute(
            "SELECT id, url, kind, depth, hops, via, attempts FROM urls"
            " WHERE state='queued' AND host=? AND id>? ORDER BY id LIMIT ?",
            (host, after, n),
        ).fetchall()

    def start(self, entry: Entry) -> None:
        """Note that the entry is being fetched."""
        self.pending.in_flight.append((entry.attempts + 1, entry.id))

    def finish(self, entry: Entry, outcome: Outcome, *, attempts: int) -> None:
        """Note what became of an entry."""
        o = outcome
        self.pending.finished_ids[entry.id] = outcome
        self.n_waiting -= o.state != "queued"
        self.pending.finished.append(
            (o.state, o.reason, attempts, o.http, o.bytes, o.seconds, o.digest, o.canonical, o.fetched,
             o.warc, o.offset, o.length, o.etag, o.modified, o.type, o.charset, entry.id)
        )  # fmt: skip
        if o.digest and o.state == "fetched":
            self.pending.digests.setdefault(o.digest, (entry.url.text, o.fetched or ""))

    def requeue(self, where: str, values: tuple[Any, ...]) -> list[str]:
        """Queue again, at once, what the SQL condition names; returns its hosts."""
        rows = self.db.execute(f"SELECT host, state FROM urls WHERE {where}", values).fetchall()
        self.n_waiting += sum(state not in ("queued", "in flight") for _, state in rows)
        self.db.execute(f"UPDATE urls SET state='queued', reason='', digest=NULL WHERE {where}", values)
        return [host for host, _ in rows]

    # Questions

    def state_of(self, key: int) -> tuple[int, State, str] | None:
        """Return the id, state and reason of an address; None if it is not known."""
        row = self.db.execute("SELECT id, state, reason FROM urls WHERE key=?", (key,)).fetchone()
        if row is None:
            row = next(((r[0], r[8], r[9]) for r in self.pending.added if r[1] == key), None)
        if row and (outcome := self.pending.finished_ids.get(row[0])):
            return row[0], outcome.state, outcome.reason
        return row

    def via_of(self, entry_id: int) -> tuple[int, int] | None:
        """Return (key, via) of an entry."""
        row = self.db.execute("SELECT key, via FROM urls WHERE id=?", (entry_id,)).fetchone()
        return row or next(((r[1], r[7]) for r in self.pending.added if r[0] == entry_id), None)

    def first_with(self, digest: str) -> tuple[str, str] | None:
        """Return the address and time of the page that was first stored with this content."""
        if found := self.pending.digests.get(digest):
            return found
        return self.db.execute(
            "SELECT url, fetched FROM urls WHERE digest=? AND state='fetched' AND reason!='duplicate'"
            " LIMIT 1",
            (digest,),
        ).fetchone()

    def counts(self) -> dict[tuple[str, str], int]:
        """Return how many addresses have each (state, reason)."""
        rows = self.db.execute(
            "SELECT state, reason, count(*) FROM urls GROUP BY state, reason ORDER BY 1, 2"
        )
        return {(state, reason): n for state, reason, n in rows}

    def progress(self) -> dict[str, int]:
        """Return how many addresses were seen, and how many of them still wait."""
        return {"seen": self._last_id, "waiting": self.n_waiting}

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield every address with what became of it, in the order in which they were seen."""
        cursor = self.db.execute("SELECT * FROM urls ORDER BY id")
        names = [column[0] for column in cursor.description]
        for row in cursor:
            yield dict(zip(names, row, strict=True))

    # Small tables

    def put(self, table: str, *values: Any) -> None:
        """Write one row of a small table at the next commit."""
        marks = ",".join("?" * len(values))
        self.pending.tables.append((f"INSERT OR REPLACE INTO {table} VALUES ({marks})", values))

    def table(self, name: str) -> list[tuple[Any, ...]]:
        """Return a small table."""
        return self.db.execute(f"SELECT * FROM {name}").fetchall()

    def previous(self, key: int) -> tuple[Any, ...] | None:
        """Return (warc, offset, length, etag, modified, digest) of an earlier crawl's record."""
        return self.db.execute(
            "SELECT warc, offset, length, etag, modified, digest FROM previous WHERE key=?", (key,)
        ).fetchone()

    def mark(self, name: str) -> Mark:
        """Return how far the WARC files are "committed", or "synced" to the disk."""
        return self.db.execute("SELECT file, length FROM marks WHERE name=?", (name,)).fetchone() or (0, 0)

    # Commit

    def commit(self, **marks: Mark) -> None:
        """Write all changes and the WARC marks in one transaction."""
        pending, self.pending = self.pending, Pending()
        with self.transaction():
            self.db.executemany(_INSERT, pending.added)
            self.db.executemany("UPDATE urls SET state='in flight', attempts=? WHERE id=?", pending.in_flight)
            self.db.executemany(_FINISH, pending.finished)
            for statement, values in pending.tables:
                self.db.execute(statement, values)
            for name, mark in marks.items():
                self.db.execute("INSERT OR REPLACE INTO marks VALUES (?,?,?)", (name, *mark))
        if len(self._seen) > 2_000_000:
            self._seen.clear()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Run statements that hold together."""
        self.db.execute("BEGIN")
        try:
            yield
        except BaseException:
            self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")


def wall_clock(monotonic: float) -> float:
    """Return the Unix time of a moment of time.monotonic()."""
    return time.time() + monotonic - time.monotonic()


def monotonic_clock(wall: float, longest: float) -> float:
    """Return the moment of time.monotonic() for a Unix time, at most `longest` seconds from now."""
    return time.monotonic() + min(longest, wall - time.time())
