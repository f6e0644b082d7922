"""Reads robots.txt before anything else is asked of an origin."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

from luban.data.crawl.fetch import REDIRECTS, Ask, Fetched, FetchError, retry_after
from luban.data.crawl.hosts import Host
from luban.data.crawl.robots import Robots, read_robots
from luban.data.crawl.state import UNREACHABLE_SECONDS, Crawl
from luban.data.crawl.urls import DEFAULT_PORTS, BadUrl, Url, origin

_MAX_BYTES = 10_000_000
_HELD_SECONDS = 86_400.0
"""How much longer a copy is good for while no newer one can be read (RFC 9309, section 2.3.1.4)."""
_MAX_REDIRECTS = 5
"""RFC 9309, section 2.3.1.2."""


class Gate:
    """What each origin's robots.txt says, fetched when it is first needed and when its answer has aged."""

    def __init__(self, crawl: Crawl, fetcher: Any):
        self.crawl, self.fetcher = crawl, fetcher

    async def read_robots(self, host: Host, url: Url) -> None:
        """Read the origin's robots.txt, trying again after passing failures, and take note of what it says.

        4xx allows everything, 429, 5xx and silence nothing for a while (RFC 9309, section 2.3.1).
        """
        place = self.crawl.parse(f"{url.origin}/robots.txt")
        text, problem = "", ""
        for attempt in range(self.crawl.settings.retries + 1):
            try:
                text, problem = await self._read(host, place), ""
                break
            except FetchError as e:
                problem = e.reason
                asked = e.args[1] if len(e.args) > 1 else 0.0
                if not e.passing or asked > self.crawl.settings.max_retry_after:
                    break
                if attempt < self.crawl.settings.retries:
                    wait = max(asked, self.crawl.settings.retry_seconds * 2**attempt)
                    await asyncio.sleep(max(wait, self.crawl.delay_of(host)))
        self._note(host, url, Robots(text, time.time(), problem))

    async def _read(self, host: Host, place: Url) -> str:
        for _ in range(_MAX_REDIRECTS + 1):
            fetched = await self.fetcher.fetch(Ask(place, _MAX_BYTES))
            if fetched.status in REDIRECTS and fetched.location:
                place = self._redirected(place, fetched)
                await asyncio.sleep(self.crawl.delay_of(host))
            elif 200 <= fetched.status < 300:
                return read_robots(fetched.body)
            elif fetched.status == 429 or fetched.status >= 500:
                error = FetchError(f"http {fetched.status}", passing=True)
                error.args = (error.reason, retry_after(fetched.header("retry-after")))
                raise error
            else:
                return ""
        return ""

    def _redirected(self, place: Url, fetched: Fetched) -> Url:
        try:
            target = self.crawl.parse(fetched.location, base=place.text)
        except BadUrl as e:
            raise FetchError(f"redirect to {e}", passing=False) from None
        if target.port not in self.crawl.scope.ports:
            raise FetchError(f"redirect to port {target.port}", passing=False)
        return target

    def _note(self, host: Host, url: Url, robots: Robots) -> None:
        crawl, old = self.crawl, self.crawl.robots.get(url.origin)
        if robots.unreachable and old and not old.unreachable:
            age = robots.read_at - old.read_at
            if age < crawl.settings.robots_max_age + _HELD_SECONDS:
                crawl.robots[url.origin] = replace(old, again_at=robots.read_at + UNREACHABLE_SECONDS)
                return
        crawl.robots[url.origin] = robots
        crawl.frontier.put("robots", url.origin, robots.text, robots.read_at, robots.unreachable)
        origins = (origin(s, host.name, port) for s in DEFAULT_PORTS for port in crawl.scope.ports)
        held = [crawl.robots[o] for o in origins if o in crawl.robots]
        host.crawl_delay = max(r.delay(crawl.agent) for r in (robots, *held))
        for text in robots.sitemaps() if crawl.settings.sitemaps else ():
            crawl.admit_sitemap(host, text, base=url.origin, via=0)

    def refuse(self, host: Host, url: Url, reason: str) -> None:
        """Take an origin whose robots.txt cannot be understood for one that allows nothing for a while."""
        self._note(host, url, Robots("", time.time(), reason))
