"""What becomes of a response: stored, known, redirected, left out; and the links in it."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urljoin

from luban.data.crawl.fetch import REDIRECTS, Fetched, FetchError
from luban.data.crawl.frontier import Entry, Outcome
from luban.data.crawl.hosts import Host
from luban.data.crawl.page import HTML, Page, charset_of, directives, read_page
from luban.data.crawl.sitemap import read_sitemap
from luban.data.crawl.state import Crawl
from luban.data.crawl.unchanged import old_page
from luban.data.crawl.urls import BadUrl, Url
from luban.data.crawl.warc import Capture, digest_of, response_records


class Arrivals:
    """Takes responses, writes records, and queues what they lead to."""

    def __init__(self, crawl: Crawl):
        self.crawl, self.settings, self.frontier = crawl, crawl.settings, crawl.frontier

    def take(self, host: Host, entry: Entry, fetched: Fetched) -> None:
        """See to a response that is not to be asked for again."""
        if fetched.status == 304:
            self._unchanged(host, entry, fetched)
        elif fetched.status in REDIRECTS and fetched.location:
            self.finish(entry, self._redirected(entry, fetched))
        elif fetched.status not in (200, 203):
            self.finish(entry, Outcome("failed", f"http {fetched.status}", http=fetched.status))
        elif entry.kind == "sitemap":
            self.finish(entry, self._sitemap(host, entry, fetched))
        else:
            self._page(host, entry, fetched)

    def finish(self, entry: Entry, outcome: Outcome) -> None:
        """Note what became of an entry; pages that were left out in its favour come back if it is no good."""
        self.frontier.finish(entry, outcome, attempts=entry.attempts + 1)
        if outcome.state == "fetched" or outcome.reason == "canonical":
            return
        if any(True for _ in self._left_out_for(entry)):
            self.crawl.commit()
            where = "canonical=? AND reason='canonical'"
            self.frontier.db.execute(f"UPDATE urls SET kind='anyway' WHERE {where}", (entry.url.text,))
            for name in self.frontier.requeue(where, (entry.url.text,)):
                self.crawl.hosts.take_back(name)

    def _left_out_for(self, entry: Entry) -> Iterable[object]:
        url = entry.url.text
        yield from (o for o in self.frontier.pending.finished_ids.values() if _waits_for(o, url))
        sql = "SELECT 1 FROM urls WHERE canonical=? AND reason='canonical' LIMIT 1"
        yield from self.frontier.db.execute(sql, (url,))

    # Redirects

    def _redirected(self, entry: Entry, fetched: Fetched) -> Outcome:
        status, place = fetched.status, fetched.location
        try:
            target = self.crawl.parse(place, base=entry.url.text)
        except BadUrl as e:
            return Outcome("failed", f"redirect to {place[:200]}: {e}", http=status)
        if entry.hops >= self.settings.max_redirects:
            return Outcome("failed", "too many redirects", http=status, canonical=target.text)
        if self._is_loop(entry, target.key):
            return Outcome("failed", "redirect loop", http=status, canonical=target.text)
        if entry.depth == 0 and self.crawl.scope.widen(entry.url.host, target.host):
            self.frontier.put("scope", target.host)
        reason = self.crawl.admit(
            target, entry.kind, depth=entry.depth, via=entry.id, hops=entry.hops + 1, is_seed=entry.via == 0
        )
        reason = f"redirect: {reason}" if reason else "redirect"
        return Outcome("skipped", reason, http=status, canonical=target.text)

    def _is_loop(self, entry: Entry, key: int) -> bool:
        if entry.url.key == key:
            return True
        via, hops = entry.via, entry.hops
        while hops and (found := self.frontier.via_of(via)):
            if found[0] == key:
                return True
            via, hops = found[1], hops - 1
        return False

    # Pages

    def _page(self, host: Host, entry: Entry, fetched: Fetched) -> None:
        page = self._read(entry.url, fetched)
        self._follow(entry, page)
        canonical = self._canonical(entry, page)
        if page.noindex and self.settings.obey_noindex:
            self.finish(entry, Outcome("skipped", "noindex", http=fetched.status))
        elif fetched.body.startswith(_MAGIC):
            self.finish(entry, Outcome("skipped", "not a text", http=fetched.status, bytes=len(fetched.body)))
        elif not fetched.body.strip():
            self.finish(entry, Outcome("skipped", "empty", http=fetched.status, bytes=len(fetched.body)))
        elif canonical is not None and self._gives_way(entry, canonical):
            self.finish(entry, Outcome("skipped", "canonical", http=fetched.status, canonical=canonical.text))
        else:
            self._store(host, entry, fetched, page, canonical.text if canonical else None)

    def _read(self, url: Url, fetched: Fetched) -> Page:
        kind = fetched.header("content-type")
        looks_so = fetched.content_type in HTML or not kind and fetched.body[:500].lstrip()[:1] == b"<"
        if looks_so:
            wishes = fetched.header("x-robots-tag")
            obey, agent = self.settings.obey_nofollow, self.crawl.agent
            return read_page(fetched.body, url.text, kind, wishes, obey_nofollow=obey, agent=agent)
        said = directives(fetched.header("x-robots-tag"), self.crawl.agent)
        noindex = bool(said & {"noindex", "none"})
        return Page(charset_of(fetched.body, kind), "", (), "", noindex=noindex, nofollow=False)

    def _follow(self, entry: Entry, page: Page) -> None:
        if page.nofollow and self.settings.obey_nofollow:
            return
        for link in page.links[: self.settings.max_links]:
            self._link(entry, link, page)

    def _link(self, entry: Entry, link: str, page: Page) -> None:
        if link.startswith("#") and page.base == entry.url.text:
            return
        base = page.base if page.base == entry.url.text else _join(entry.url.text, page.base)
        try:
            url = self.crawl.parse(link, base=base, encoding=page.charset or "utf-8")
        except BadUrl as e:
            if not str(e).startswith("not http"):
                self.crawl.refuse(link, depth=entry.depth + 1, via=entry.id, reason=str(e))
            return
        self.crawl.admit(url, "page", depth=entry.depth + 1, via=entry.id)

    def _canonical(self, entry: Entry, page: Page) -> Url | None:
        """Return the other address that the page names as its own, if it names one."""
        if not page.canonical:
            return None
        try:
            url = self.crawl.parse(page.canonical, base=_join(entry.url.text, page.base))
        except BadUrl:
            return None
        return url if url.key != entry.url.key else None

    def _gives_way(self, entry: Entry, canonical: Url) -> bool:
        """Whether the page is left out for the one that it names.

        Not for a bare host: sites that name their front page everywhere do it by mistake.
        """
        if not self.settings.obey_canonical or entry.kind == "anyway" or canonical.path == "/":
            return False
        if not self.crawl.scope.has_host(canonical.host):
            return False
        self.crawl.admit(canonical, "page", depth=entry.depth, via=entry.id)
        found = self.frontier.state_of(canonical.key)
        return found is not None and found[1] in ("queued", "in flight", "fetched")

    def _store(self, host: Host, entry: Entry, fetched: Fetched, page: Page, canonical: str | None) -> None:
        digest = digest_of(fetched.body)
        first = self.frontier.first_with(digest)
        file = offset = length = None
        if first is None or self.settings.duplicates == "revisit":
            records, length = response_records(_capture(entry, fetched, page, digest), first)
            file, offset = self.crawl.writer.write(records)
        self._count(host)
        self.finish(
            entry,
            Outcome(
                "fetched",
                "duplicate" if first else "stored",
                http=fetched.status,
                bytes=len(fetched.body),
                seconds=fetched.seconds,
                digest=digest,
                canonical=canonical,
                fetched=fetched.time,
                warc=file,
                offset=offset,
                length=length,
                etag=fetched.header("etag")[:1000] or None,
                modified=fetched.header("last-modified")[:100] or None,
                type=fetched.content_type,
                charset=page.charset,
            ),
        )

    def _count(self, host: Host) -> None:
        host.fetched += 1
        self.crawl.fetched += 1

    def _unchanged(self, host: Host, entry: Entry, fetched: Fetched) -> None:
        """Take over the earlier crawl's record of a page that has not changed, and follow its links."""
        earlier = self.frontier.previous(entry.url.key)
        if earlier is None:
            self.finish(entry, Outcome("failed", "http 304", http=304))
            return
        record, old = old_page(earlier)
        page = self._read(entry.url, old)
        self._follow(entry, page)
        file, offset = self.crawl.writer.write(record)
        self._count(host)
        self.finish(
            entry,
            Outcome(
                "fetched",
                "unchanged",
                http=304,
                bytes=len(old.body),
                seconds=fetched.seconds,
                digest=earlier[5],
                fetched=old.time,  # the record's own date, which others will refer to
                warc=file,
                offset=offset,
                length=len(record),
                etag=earlier[3],
                modified=earlier[4],
                type=old.content_type,
                charset=page.charset,
            ),
        )

    # Sitemaps

    def _sitemap(self, host: Host, entry: Entry, fetched: Fetched) -> Outcome:
        try:
            found = read_sitemap(fetched.body, self.settings.max_sitemap_bytes)
        except FetchError as e:
            return Outcome("failed", e.reason, http=fetched.status)
        kind, places = found
        for place in places[: self.settings.max_sitemap_urls]:
            if kind == "sitemap":
                self.crawl.admit_sitemap(host, place, base=entry.url.text, via=entry.id)
                continue
            try:
                url = self.crawl.parse(place, base=entry.url.text)
            except BadUrl as e:
                self.crawl.refuse(place, depth=1, via=entry.id, reason=str(e))
                continue
            self.crawl.admit(url, "page", depth=1, via=entry.id)
        return Outcome("skipped", "sitemap", http=fetched.status, bytes=len(fetched.body))


def _waits_for(outcome: Outcome, url: str) -> bool:
    return outcome.reason == "canonical" and outcome.canonical == url


def _join(url: str, base: str) -> str:
    try:
        return urljoin(url, base)
    except ValueError:
        return url


def _capture(entry: Entry, fetched: Fetched, page: Page, digest: str) -> Capture:
    facts = (
        ("fetchTimeMs", str(round(fetched.seconds * 1000))),
        ("charset", page.charset),
        ("hopsFromSeed", str(entry.depth)),
    )
    status = f"{fetched.version} {fetched.status} {_REASONS.get(fetched.status, 'OK')}"
    return Capture(
        entry.url.text, fetched.time, fetched.address, fetched.request, status, fetched.headers, fetched.body,
        digest, facts,
    )  # fmt: skip


_MAGIC = (b"%PDF-", b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8", b"PK\x03\x04", b"\x1f\x8b")
"""First bytes of PDF, PNG, JPEG, GIF, zip and gzip, which servers also send as text/html."""
_REASONS = {200: "OK", 203: "Non-Authoritative Information"}
