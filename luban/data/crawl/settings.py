"""Settings of the crawl."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from luban.data.crawl.urls import BadUrl, clean_host
from luban.errors import ConfigError

Count = Annotated[int, Field(ge=1)]
CountOrNone = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]
SomeSeconds = Annotated[float, Field(gt=0)]

TRACKING = (
    "utm_*", "gclid", "gclsrc", "dclid", "fbclid", "msclkid", "yclid", "mc_cid", "mc_eid", "igshid", "spm",
    "jsessionid", "phpsessid", "aspsessionid*", "sessionid", "sid",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class CrawlSettings:
    """Which pages to fetch, how politely, and what to keep of them."""

    seeds: tuple[str, ...] = ()
    """Addresses to start from, besides those of the seeds file."""
    hosts: tuple[str, ...] = ()
    """Hosts whose pages are wanted, `*.example.org` with subdomains; empty: those of the seeds."""
    include: tuple[str, ...] = ()
    """Regular expressions: only addresses in which one is found are fetched; seeds always are."""
    exclude: tuple[str, ...] = ()
    """Regular expressions: addresses in which one is found are skipped."""
    max_pages: CountOrNone = 0
    """Pages to fetch in all, by three times as many requests and a hundred at most; 0: no limit."""
    max_pages_per_host: CountOrNone = 100_000
    """Pages to fetch from one host, bounded likewise; 0: no limit."""
    max_depth: CountOrNone = 20
    """Links to follow in a row from a seed."""
    max_links: Count = 2000
    """Links to take from one page."""
    max_url_chars: Count = 2000
    """Longer addresses are skipped."""
    max_query_variants: Count = 200
    """Addresses to take that differ only in what follows the question mark (calendars, filters)."""
    max_number_variants: CountOrNone = 100_000
    """Addresses to take that differ only in the digits of their path; 0: no limit."""
    max_segments: Count = 20
    """Parts of a path; a deeper one is skipped."""
    max_repeats: Count = 3
    """Times that one part may stand in a path; more is a link that goes round in a circle."""
    drop_parameters: tuple[str, ...] = TRACKING
    """Parameters to leave out of addresses, as patterns: they say who reads, not what."""

    user_agent: str = ""
    """What to call oneself; empty: Luban with its version. The name before the slash is for robots.txt."""
    contact: str = ""
    """Address of a page or a mailbox that a site's owner can turn to; sent with every request."""
    accept_language: str = ""
    """Languages to ask for, such as `zh-CN,zh;q=0.9,en;q=0.5`; empty: none in particular."""
    delay: Seconds = 1.0
    """Seconds between the starts of two requests to a host; a longer Crawl-delay of its robots.txt wins."""
    max_crawl_delay: Seconds = 60.0
    """Longest Crawl-delay to heed; a longer one is cut to this."""
    concurrency: Count = 16
    """Requests under way at once."""
    concurrency_per_host: Count = 2
    """Requests under way at once to one host."""
    retries: CountOrNone = 3
    """New tries for a page after a passing failure: no connection, 429, 5xx."""
    retry_seconds: SomeSeconds = 2.0
    """Wait before the first new try; it doubles with each."""
    max_retry_after: Seconds = 600.0
    """Longest wait that a server may ask for (Retry-After) before its page is given up."""
    max_failures_in_a_row: Count = 20
    """Give up a host after so many failed requests without a good one."""
    timeout: SomeSeconds = 60.0
    """Seconds for one request, from connecting to the last byte."""
    max_redirects: CountOrNone = 10
    """Redirects to follow in a row."""
    max_bytes: Count = 10_000_000
    """Longest body, as sent and again as decompressed."""
    content_types: tuple[str, ...] = ("text/html", "application/xhtml+xml", "text/plain")
    """Kinds of content to keep, with * as wildcard; others are cut off after their headers."""

    robots_max_age: Annotated[float, Field(gt=0, le=86_400)] = 86_400.0
    """Seconds after which robots.txt is read again (RFC 9309: a day at most)."""
    obey_noindex: bool = True
    """Whether pages that ask not to be indexed are left out."""
    obey_nofollow: bool = True
    """Whether links are left alone where the page or the link says nofollow."""
    obey_canonical: bool = True
    """Whether a page that names another as its canonical address is left out for that one."""
    sitemaps: bool = True
    """Whether to read the sitemaps that robots.txt names."""
    max_sitemaps: CountOrNone = 100
    """Sitemaps to read of one host, those of an index included."""
    max_sitemap_bytes: Count = 52_428_800
    """Longest sitemap, decompressed (sitemaps.org: 50 MiB)."""
    max_sitemap_urls: Count = 50_000
    """Addresses to take from one sitemap (sitemaps.org: 50,000)."""
    duplicates: Literal["revisit", "skip"] = "revisit"
    """What to write for a page whose content was stored before: a record that points there, or none."""

    allow_hosts: tuple[str, ...] = ()
    """Hosts that may have private, loopback or link-local addresses."""
    allow_networks: tuple[str, ...] = ()
    """Networks of that kind that may be connected to, such as `10.1.0.0/16`."""
    ports: tuple[Annotated[int, Field(ge=1, le=65_535)], ...] = (80, 443)
    """Ports that may be connected to, besides those that the seeds name."""
    proxy: str = ""
    """Address of a proxy; one from the environment is never used. It resolves names by itself."""
    verify_certificates: bool = True
    """Whether a page behind a broken certificate is refused."""
    max_warc_bytes: Count = 1_000_000_000
    """Start another WARC file when one is longer."""
    on_change: Literal["refuse", "continue", "restart"] = "refuse"
    """What to do about an unfinished crawl in the same place whose settings, seeds or code were others:
    refuse, go on with its frontier under the new ones, or drop it."""

    def __post_init__(self) -> None:
        """Refuse patterns and networks that are none."""
        for name in ("include", "exclude"):
            for pattern in getattr(self, name):
                try:
                    re.compile(pattern)
                except re.error as e:
                    raise ConfigError(
                        f"crawl.{name}: {pattern!r} is not a regular expression: {e}",
                        fix="put a backslash before ( ) [ ] * + ? . that mean themselves",
                    ) from None
        if self.proxy and not re.match(r"https?://[^/\s]+", self.proxy):
            raise ConfigError(
                f"crawl.proxy: {self.proxy!r} is not the address of a proxy",
                fix="write http://proxy.example:3128",
            )
        for host in (*(h.removeprefix("*.") for h in self.hosts), *self.allow_hosts):
            try:
                clean_host(host)
            except BadUrl as e:
                raise ConfigError(
                    f"crawl.hosts or crawl.allow_hosts: {host!r} is no host: {e}",
                    fix="write a name or an IP address alone, without http:// and without a port",
                ) from None
        for network in self.allow_networks:
            try:
                ipaddress.ip_network(network)
            except ValueError as e:
                raise ConfigError(
                    f"crawl.allow_networks: {network!r} is not a network: {e}", fix="write 10.1.0.0/16"
                ) from None
