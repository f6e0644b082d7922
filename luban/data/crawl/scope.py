"""Which addresses are wanted, and how many of a kind: bounds on calendars, filters and circles of links."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from luban.data.crawl.settings import CrawlSettings
from luban.data.crawl.urls import Url, clean_host

_DIGITS = re.compile(r"\d+")


class Scope:
    """Decides about each address once, in the order in which they are seen."""

    def __init__(self, settings: CrawlSettings, seeds: Iterable[Url], more_hosts: Iterable[str] = ()):
        seeds = list(seeds)
        self.settings = settings
        self.ports = set(settings.ports) | {url.port for url in seeds}
        self._hosts = {clean_host(h.removeprefix("*.")) for h in settings.hosts} | set(more_hosts)
        self._suffixes = tuple("." + clean_host(h[2:]) for h in settings.hosts if h.startswith("*."))
        if not settings.hosts:
            self._hosts |= {url.host for url in seeds}
        self._include = [re.compile(p) for p in settings.include]
        self._exclude = [re.compile(p) for p in settings.exclude]
        self._queries: Counter[int] = Counter()
        self._numbers: Counter[int] = Counter()

    def has_host(self, host: str) -> bool:
        """Whether pages of this host are wanted."""
        return host in self._hosts or bool(self._suffixes and host.endswith(self._suffixes))

    def widen(self, seed_host: str, host: str) -> bool:
        """Take in the host that a seed redirects to, if one of the two lies below the other."""
        if self.has_host(host):
            return False
        near = host.endswith(f".{seed_host}") or seed_host.endswith(f".{host}")
        if not near or self.settings.hosts or "." not in host:
            return False
        self._hosts.add(host)
        return True

    def objection(self, url: Url, depth: int, *, is_seed: bool = False) -> str:
        """Return why the address is not wanted, "" if it is."""
        s = self.settings
        if url.port not in self.ports:
            return f"port {url.port}"
        if len(url.text) > s.max_url_chars:
            return "address too long"
        if not self.has_host(url.host):
            return "off host"
        if depth > s.max_depth:
            return "too deep"
        if not is_seed and self._include and not any(p.search(url.text) for p in self._include):
            return "not included"
        if not is_seed and any(p.search(url.text) for p in self._exclude):
            return "excluded"
        return self._objection_to_path(url)

    def _objection_to_path(self, url: Url) -> str:
        s = self.settings
        if url.path.count("/") > 3:
            parts = [p for p in url.path.split("/") if p]
            if len(parts) > s.max_segments:
                return "path too deep"
            if max(Counter(parts).values(), default=0) > s.max_repeats:
                return "path repeats itself"
        where = url.host + url.path
        if url.query and self._queries[hash(where)] >= s.max_query_variants:
            return "too many variants"
        name = _DIGITS.sub("0", where)
        if s.max_number_variants and name != where and self._numbers[hash(name)] >= s.max_number_variants:
            return "too many variants"
        return ""

    def count(self, url: Url) -> None:
        """Take note of an address that was queued."""
        where = url.host + url.path
        if url.query:
            self._queries[hash(where)] += 1
        elif self.settings.max_number_variants and (name := _DIGITS.sub("0", where)) != where:
            self._numbers[hash(name)] += 1
