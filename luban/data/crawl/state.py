"""What all parts of a running crawl share."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from luban.data.crawl.frontier import Frontier, State, monotonic_clock, wall_clock
from luban.data.crawl.hosts import Host, Hosts
from luban.data.crawl.robots import Robots, agent_token
from luban.data.crawl.scope import Scope
from luban.data.crawl.settings import CrawlSettings
from luban.data.crawl.urls import BadUrl, Url, key_of, parse_url
from luban.data.crawl.warc import WarcWriter

FRONTIER = "frontier.sqlite"
UNREACHABLE_SECONDS = 600.0
"""How long a robots.txt that could not be read forbids everything before it is tried again."""


def most_asked(pages: int) -> int:
    """Return how many addresses to ask for at most to get so many pages: most may be no good in a trap."""
    return 3 * pages + 100


class Crawl:
    """The frontier, the hosts' queues, the scope and the WARC files of one crawl."""

    def __init__(self, settings: CrawlSettings, seeds: tuple[str, ...], folder: Path, user_agent: str):
        self.settings, self.folder = settings, folder
        self.user_agent, self.agent = user_agent, agent_token(user_agent)
        self.frontier = Frontier(folder / "checkpoints" / FRONTIER)
        self.hosts = Hosts(self.frontier, settings.concurrency_per_host, self.commit)
        self.robots: dict[str, Robots] = {}
        self.active = self.fetched = self.asked = 0
        good, bad = self._parse(seeds)
        self.scope = Scope(settings, good, (h for (h,) in self.frontier.table("scope")))
        self.writer = WarcWriter(folder, "crawl", settings.max_warc_bytes, self._about())
        self._recover()
        self._load_hosts()
        self._add_seeds(good, bad)
        self.has_previous = bool(self.frontier.db.execute("SELECT 1 FROM previous LIMIT 1").fetchone())

    def _parse(self, seeds: tuple[str, ...]) -> tuple[list[Url], list[tuple[str, str]]]:
        good, bad = [], []
        for seed in seeds:
            try:
                good.append(self.parse(seed if "://" in seed else f"http://{seed}"))
            except BadUrl as e:
                bad.append((seed, str(e)))
        return good, bad

    def parse(self, text: str, *, base: str = "", encoding: str = "utf-8") -> Url:
        """Return an address in its one spelling, without the parameters that are to be dropped."""
        return parse_url(text, drop=self.settings.drop_parameters, base=base, encoding=encoding)

    def _about(self) -> tuple[tuple[str, str], ...]:
        return (
            ("software", self.user_agent.partition(" ")[0]),
            ("format", "WARC File Format 1.1"),
            ("conformsTo", "http://iipc.github.io/warc-specifications/specifications/warc-format/warc-1.1/"),
            ("robots", "RFC 9309"),
            ("http-header-user-agent", self.user_agent),
            ("operator", self.settings.contact),
            ("date", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())),
        )

    def _recover(self) -> None:
        """Bring the WARC files and the frontier back to one state, whatever ended the last run."""
        frontier = self.frontier
        committed = frontier.mark("committed")
        file, length = self.writer.go_on(committed, frontier.mark("synced"))
        with frontier.transaction():
            frontier.requeue("state='in flight'", ())
            if (file, length) != committed:
                lost = "state='fetched' AND (warc>? OR warc=? AND offset>=?)"
                frontier.requeue(lost, (file, file, length))
        frontier.commit(committed=(file, length), synced=(file, length))

    def _load_hosts(self) -> None:
        longest = max(self.settings.max_retry_after, self.settings.max_crawl_delay)
        for name, not_before, crawl_delay, failures in self.frontier.table("hosts"):
            host = self.hosts.get(name)
            host.next_at, host.crawl_delay = monotonic_clock(not_before, longest), crawl_delay
            host.failures = failures
        for origin, text, read_at, unreachable in self.frontier.table("robots"):
            self.robots[origin] = Robots(text, min(read_at, time.time()), unreachable)
        rows = self.frontier.db.execute("SELECT url, host, state FROM urls WHERE state!='skipped'")
        for url, name, state in rows:
            self.scope.count(parse_url(url))
            if state == "fetched":
                self.hosts.get(name).fetched += 1
                self.fetched += 1
        asked = "SELECT host, count(*) FROM urls WHERE attempts>0 AND kind!='sitemap' GROUP BY host"
        for name, n in self.frontier.db.execute(asked):
            self.hosts.get(name).asked = n
            self.asked += n
        for name, n in self.frontier.hosts_waiting():
            host = self.hosts.get(name)
            host.unloaded = n
            self.hosts.list(host)

    def _add_seeds(self, good: list[Url], bad: list[tuple[str, str]]) -> None:
        for url in good:
            self.admit(url, "page", depth=0, via=0, is_seed=True)
        for text, reason in bad:
            self.refuse(text, depth=0, via=0, reason=reason)
        self.commit()

    def commit(self, *, sync: bool = False) -> None:
        """Write the WARC records first, then what the frontier says of them."""
        marks = {"committed": self.writer.flush()}
        if sync:
            self.writer.sync()
            marks["synced"] = marks["committed"]
        self.frontier.commit(**marks)

    @property
    def may_fetch_more(self) -> bool:
        """Whether the limit of pages in all leaves room for another request."""
        limit = self.settings.max_pages
        return not limit or self.fetched + self.active < limit and self.asked < most_asked(limit)

    def admit(
        self, url: Url, kind: Any, *, depth: int, via: int, hops: int = 0, is_seed: bool = False
    ) -> str:
        """Queue an address unless it is known or not wanted; returns the objection, "" if there is none."""
        key = url.key
        if self.frontier.is_known(key):
            return ""
        if objection := self.scope.objection(url, depth, is_seed=is_seed):
            self.frontier.skip(key, url.text[:2000], url.host, depth, via, objection)
            return objection
        self.scope.count(url)
        self.hosts.add(self.frontier.add(url, kind, depth, hops, via))
        return ""

    def admit_sitemap(self, host: Host, text: str, *, base: str, via: int) -> None:
        """Queue a sitemap, or note why not."""
        try:
            url = self.parse(text, base=base)
        except BadUrl as e:
            self.refuse(text, depth=0, via=via, reason=str(e))
            return
        if host.sitemaps >= self.settings.max_sitemaps:
            self.refuse(url.text, depth=0, via=via, reason="max_sitemaps", key=url.key, host=url.host)
            return
        host.sitemaps += 1
        self.admit(url, "sitemap", depth=0, via=via, is_seed=True)

    def refuse(
        self, text: str, *, depth: int, via: int, reason: str, key: int | None = None, host: str = ""
    ) -> None:
        """Note an address that will not be fetched, unless it is known."""
        key = key_of(text) if key is None else key
        if not self.frontier.is_known(key):
            self.frontier.skip(key, text[:2000], host, depth, via, reason)

    def robots_for(self, url: Url) -> Robots | None:
        """Return the rules of the address's origin; None if they are to be read, or read again."""
        robots = self.robots.get(url.origin)
        if robots is None:
            return None
        if robots.again_at:
            return robots if time.time() < robots.again_at else None
        age = time.time() - robots.read_at
        longest = self.settings.robots_max_age
        if age > (min(longest, UNREACHABLE_SECONDS) if robots.unreachable else longest):
            return None
        return robots

    def delay_of(self, host: Host) -> float:
        """Seconds between the starts of two requests to the host."""
        return max(self.settings.delay, min(host.crawl_delay, self.settings.max_crawl_delay))

    def remember(self, host: Host) -> None:
        """Have the host's pace and failures stored with the next commit."""
        self.frontier.put("hosts", host.name, wall_clock(host.next_at), host.crawl_delay, host.failures)

    def give_up(self, host: Host, state: State, reason: str) -> None:
        """Finish everything that waits for a host, with one reason."""
        self.hosts.empty(host)
        host.failures = 0
        self.commit()
        done = self.frontier.db.execute(
            "UPDATE urls SET state=?, reason=? WHERE host=? AND state='queued'", (state, reason, host.name)
        )
        self.frontier.n_waiting -= done.rowcount

    def progress(self) -> dict[str, int]:
        """Return how many addresses were seen, how many wait, and how many pages are stored."""
        return {"fetched": self.fetched, **self.frontier.progress()}
