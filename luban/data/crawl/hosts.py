"""Whose turn it is: each host's queue, its pace, and its failures."""

from __future__ import annotations

import heapq
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from luban.data.crawl.frontier import Entry, Frontier
from luban.data.crawl.urls import parse_url

_LOAD = 500
"""Addresses of a host to hold in memory; the others wait in the frontier."""


@dataclass(slots=True)
class Host:
    """One host. Times are those of time.monotonic()."""

    name: str
    next_at: float = 0.0
    crawl_delay: float = 0.0
    failures: int = 0
    """Failed requests since the last good one."""
    fetched: int = 0
    asked: int = 0
    """Pages asked for, whatever came."""
    sitemaps: int = 0
    active: int = 0
    is_preparing: bool = False
    """Whether its robots.txt is being read, and nothing else may be asked for."""
    queue: deque[Entry] = field(default_factory=deque)
    delayed: list[tuple[float, int, Entry]] = field(default_factory=list)
    """Heap of what is to be tried again, by its time."""
    unloaded: int = 0
    """Queued addresses that are in the frontier only."""
    cursor: int = 0
    is_listed: bool = False

    @property
    def has_work(self) -> bool:
        """Whether anything is left to ask it for."""
        return bool(self.queue or self.delayed or self.unloaded)

    def ready_at(self) -> float:
        """Return when its next request may start."""
        if self.queue or self.unloaded or not self.delayed:
            return self.next_at
        return max(self.next_at, self.delayed[0][0])


class Hosts:
    """All hosts with something to fetch, by the time of their next turn."""

    def __init__(self, frontier: Frontier, per_host: int, commit: Callable[[], None]):
        self.frontier, self.per_host, self.commit = frontier, per_host, commit
        self.by_name: dict[str, Host] = {}
        self._turns: list[tuple[float, str]] = []

    def get(self, name: str) -> Host:
        """Return the host, a new one if need be."""
        host = self.by_name.get(name)
        if host is None:
            host = self.by_name[name] = Host(name)
        return host

    def add(self, entry: Entry) -> None:
        """Take a queued entry."""
        host = self.get(entry.url.host)
        if host.unloaded or len(host.queue) >= _LOAD:
            host.unloaded += 1
        else:
            host.queue.append(entry)
            host.cursor = max(host.cursor, entry.id)
        self.list(host)

    def retry(self, entry: Entry, at: float) -> None:
        """Take an entry back, to be tried again at that time."""
        host = self.get(entry.url.host)
        heapq.heappush(host.delayed, (at, entry.id, entry))
        self.list(host)

    def list(self, host: Host) -> None:
        """Give the host a turn, if it may have one."""
        may = host.has_work and not host.is_preparing and host.active < self.per_host
        if may and not host.is_listed:
            host.is_listed = True
            heapq.heappush(self._turns, (host.ready_at(), host.name))

    def next_turn(self) -> float | None:
        """Return the time of the next turn; None if no host waits for one."""
        return self._turns[0][0] if self._turns else None

    def turns(self) -> Iterator[Host]:
        """Yield the hosts whose time has come."""
        while self._turns and self._turns[0][0] <= time.monotonic():
            host = self.by_name[heapq.heappop(self._turns)[1]]
            host.is_listed = False
            if host.ready_at() > time.monotonic():
                self.list(host)
            else:
                yield host

    def take(self, host: Host) -> Entry | None:
        """Return the host's next entry, if one is due."""
        if host.delayed and host.delayed[0][0] <= time.monotonic():
            return heapq.heappop(host.delayed)[2]
        if not host.queue and host.unloaded:
            self._load(host)
        return host.queue.popleft() if host.queue else None

    def _load(self, host: Host) -> None:
        self.commit()
        rows = self.frontier.waiting(host.name, host.cursor, _LOAD)
        waiting = {entry.id for _, _, entry in host.delayed}
        for number, url, kind, depth, hops, via, attempts in rows:
            if number not in waiting:
                host.queue.append(Entry(number, parse_url(url), kind, depth, hops, via, attempts))
        host.cursor = rows[-1][0] if rows else host.cursor
        host.unloaded = max(0, host.unloaded - len(rows)) if len(rows) == _LOAD else 0

    def take_back(self, name: str) -> None:
        """Look again, from the start, for what the frontier has queued of a host."""
        host = self.get(name)
        host.cursor, host.unloaded = 0, host.unloaded + len(host.queue) + 1
        host.queue.clear()
        self.list(host)

    def empty(self, host: Host) -> None:
        """Forget what waits for the host."""
        host.queue.clear()
        host.delayed.clear()
        host.unloaded = 0

    def has_work(self) -> bool:
        """Whether anything is left at any host."""
        return any(host.has_work or host.is_preparing for host in self.by_name.values())
