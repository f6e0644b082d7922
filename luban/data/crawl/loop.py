"""The crawl itself: give each host its turn, fetch, store, and queue what a page links to."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from luban.data.crawl.arrivals import Arrivals
from luban.data.crawl.fetch import PASSING, Ask, Fetched, FetchError, retry_after
from luban.data.crawl.frontier import Entry, Outcome, wall_clock
from luban.data.crawl.gate import Gate
from luban.data.crawl.hosts import Host
from luban.data.crawl.robots import Robots
from luban.data.crawl.state import Crawl, most_asked
from luban.errors import LubanError

_COMMIT_SECONDS = 0.02
_SYNC_SECONDS = 2.0
_TELL_SECONDS = 10.0


class Loop:
    """Everything that happens while a crawl runs, in one thread."""

    def __init__(self, crawl: Crawl, fetcher: Any, tell: Callable[[dict[str, Any]], None]):
        self.crawl, self.fetcher, self.tell = crawl, fetcher, tell
        self.settings, self.frontier, self.hosts = crawl.settings, crawl.frontier, crawl.hosts
        self.gate = Gate(crawl, fetcher)
        self.arrivals = Arrivals(crawl)
        self.tasks: set[asyncio.Task[None]] = set()
        self.is_stopping = False
        self._over: asyncio.Future[None]
        self._turn: asyncio.TimerHandle | None = None
        self._commit: asyncio.TimerHandle | None = None
        self._synced_at = self._told_at = time.monotonic()

    async def run(self) -> None:
        """Crawl until nothing is left or `stop` is called."""
        self._over = asyncio.get_running_loop().create_future()
        self._pump()
        try:
            await self._over
        finally:
            for timer in (self._turn, self._commit):
                if timer:
                    timer.cancel()
            for task in self.tasks:
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)
        self._save(sync=True)

    def stop(self, within: float) -> None:
        """Start nothing more, and end when what is under way has come, or after so many seconds."""
        if not self.is_stopping:
            self.is_stopping = True
            asyncio.get_running_loop().call_later(within, self._end)
            self._pump()

    def _end(self, error: BaseException | None = None) -> None:
        if self._over.done():
            return
        if error:
            self._over.set_exception(error)
        else:
            self._over.set_result(None)

    # Turns

    def _pump(self) -> None:
        """Start every request whose time has come, and see to the next call."""
        if self._over.done():
            return
        if not self.is_stopping:
            for host in self.hosts.turns():
                if len(self.tasks) >= self.settings.concurrency or not self.crawl.may_fetch_more:
                    self.hosts.list(host)
                    break
                self._give_turn(host)
        if not self.tasks and (
            self.is_stopping or not self.crawl.may_fetch_more or not self.hosts.has_work()
        ):
            self._end()
            return
        self._set_timers()

    def _give_turn(self, host: Host) -> None:
        while (entry := self.hosts.take(host)) is not None:
            limit = self.settings.max_pages_per_host
            if limit and (host.fetched + host.active >= limit or host.asked >= most_asked(limit)):
                host.queue.appendleft(entry)
                if not host.active:
                    self.crawl.give_up(host, "skipped", "max_pages_per_host")
                return
            robots = self.crawl.robots_for(entry.url)
            if robots is None:
                host.queue.appendleft(entry)
                host.is_preparing = True
                self._spawn(self._prepare(host, entry))
                return
            if robots.unreachable:
                self._finish(entry, Outcome("failed", f"robots.txt: {robots.unreachable}"))
            elif objection := self._objection(robots, entry):
                self._finish(entry, objection)
            else:
                self._start(host, entry)
                return
        self.hosts.list(host)

    def _objection(self, robots: Robots, entry: Entry) -> Outcome | None:
        try:
            is_allowed = robots.allows(entry.url.text, self.crawl.agent)
        except Exception as e:
            return Outcome("failed", self._stray(e, "robots.txt", entry))
        return None if is_allowed else Outcome("skipped", "robots.txt")

    def _start(self, host: Host, entry: Entry) -> None:
        if not entry.attempts and entry.kind != "sitemap":
            host.asked += 1
            self.crawl.asked += 1
        host.active += 1
        self.crawl.active += 1
        host.next_at = time.monotonic() + self.crawl.delay_of(host)
        self.crawl.remember(host)
        self.frontier.start(entry)
        self.hosts.list(host)
        self._spawn(self._visit(host, entry))

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._end(error)
        if self.frontier.pending.finished:  # at once: what is stored must not be fetched again
            self._save()
        self._pump()

    def _set_timers(self) -> None:
        loop = asyncio.get_running_loop()
        if self._turn:
            self._turn.cancel()
            self._turn = None
        at = self.hosts.next_turn()
        is_full = len(self.tasks) >= self.settings.concurrency
        if at is not None and not self.is_stopping and not is_full and self.crawl.may_fetch_more:
            self._turn = loop.call_later(max(0.0, at - time.monotonic()), self._pump)
        if self._commit is None and self.frontier.pending:
            self._commit = loop.call_later(_COMMIT_SECONDS, self._save)

    # Requests

    async def _prepare(self, host: Host, entry: Entry) -> None:
        try:
            await self.gate.read_robots(host, entry.url)
        except Exception as e:
            self.gate.refuse(host, entry.url, self._stray(e, "robots.txt", entry))
        finally:
            host.is_preparing = False
            host.next_at = max(host.next_at, time.monotonic() + self.crawl.delay_of(host))
            self.crawl.remember(host)
            self.hosts.list(host)

    async def _visit(self, host: Host, entry: Entry) -> None:
        came = False
        try:
            fetched = await self.fetcher.fetch(self._ask(entry))
            came = True
            self._arrived(host, entry, fetched)
        except FetchError as e:
            host.failures += e.passing and not entry.attempts  # pages count, not attempts
            self._failed(host, entry, e)
        except Exception as e:
            self._finish(entry, Outcome("failed", self._stray(e, "page", entry)))
        finally:
            host.active -= 1
            self.crawl.active -= 1
            if came:
                host.failures = 0 if fetched.status < 500 else host.failures + (not entry.attempts)
            if host.failures >= self.settings.max_failures_in_a_row:
                self.crawl.give_up(host, "failed", "host given up after failures in a row")
            self.hosts.list(host)

    def _stray(self, error: Exception, what: str, entry: Entry) -> str:
        """Return the reason for an error that only one page is to pay for; raise those of the disk again."""
        if isinstance(error, (OSError, sqlite3.Error, LubanError)):
            raise error
        text = f"error in the {what}: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        self.tell({"warning": f"{entry.url.text}: {text}"})
        return text

    def _ask(self, entry: Entry) -> Ask:
        s = self.settings
        if entry.kind == "sitemap":
            return Ask(entry.url, s.max_sitemap_bytes)
        headers = []
        if earlier := self.frontier.previous(entry.url.key) if self.crawl.has_previous else None:
            headers += [("If-None-Match", earlier[3])] if earlier[3] else []
            headers += [("If-Modified-Since", earlier[4])] if earlier[4] else []
        return Ask(entry.url, s.max_bytes, s.content_types, tuple(headers))

    def _arrived(self, host: Host, entry: Entry, fetched: Fetched) -> None:
        if fetched.status in PASSING:
            asked = retry_after(fetched.header("retry-after"))
            error = FetchError(f"http {fetched.status}", passing=True)
            if asked > self.settings.max_retry_after:
                error = FetchError(f"http {fetched.status}, asked to wait {asked:.0f} s", passing=False)
            self._failed(host, entry, error, http=fetched.status, asked=asked)
        else:
            self.arrivals.take(host, entry, fetched)

    def _failed(
        self, host: Host, entry: Entry, error: FetchError, *, http: int | None = None, asked: float = 0
    ) -> None:
        if not error.passing or entry.attempts >= self.settings.retries:
            self._finish(entry, Outcome("failed", error.reason, http=http))
            return
        wait = max(asked, self.settings.retry_seconds * 2**entry.attempts)
        again = replace(entry, attempts=entry.attempts + 1)
        if http in (429, 503):
            host.next_at = max(host.next_at, time.monotonic() + wait)
            self.crawl.remember(host)
        self.frontier.finish(entry, Outcome("queued", ""), attempts=again.attempts)
        self.hosts.retry(again, time.monotonic() + wait)

    def _finish(self, entry: Entry, outcome: Outcome) -> None:
        self.arrivals.finish(entry, outcome)

    # Saving

    def _save(self, *, sync: bool = False) -> None:
        if self._commit:
            self._commit.cancel()
            self._commit = None
        now = time.monotonic()
        try:
            sync = sync or now - self._synced_at > _SYNC_SECONDS
            self.crawl.commit(sync=sync)
            self._synced_at = now if sync else self._synced_at
        except Exception as e:  # inside a timer nobody else would see it
            if self._over.done():
                raise
            self._end(e)
            return
        if now - self._told_at > _TELL_SECONDS:
            self._told_at = now
            self.tell({"progress": self.crawl.progress(), "at": wall_clock(now)})
