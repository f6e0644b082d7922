"""One request through Scrapy's downloader: a response within the limits, or a failure with its reason."""

from __future__ import annotations

import time
import zlib
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from fnmatch import fnmatchcase
from typing import Any

from luban.data.crawl.addresses import Resolver
from luban.data.crawl.settings import CrawlSettings
from luban.data.crawl.urls import Url

PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers that may be another one later."""
REDIRECTS = frozenset({301, 302, 303, 307, 308})


class FetchError(Exception):
    """No usable response; `passing` says whether a new try may help."""

    def __init__(self, reason: str, *, passing: bool):
        super().__init__(reason)
        self.reason, self.passing = reason, passing


@dataclass(frozen=True, slots=True)
class Fetched:
    """A response, its body decoded."""

    status: int
    version: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    address: str
    time: str
    seconds: float
    request: bytes

    def header(self, name: str) -> str:
        """Return a header's value by its lower-case name, several joined by commas."""
        return ", ".join(value for key, value in self.headers if key.lower() == name)

    @property
    def location(self) -> str:
        """Where a redirect leads: the first address named, in UTF-8 if it is that."""
        value = next((value for key, value in self.headers if key.lower() == "location"), "").strip()
        try:
            return value.encode("latin-1").decode("utf-8")
        except UnicodeError:
            return value

    @property
    def content_type(self) -> str:
        """Kind of content in lower case, without parameters."""
        return self.header("content-type").partition(";")[0].strip().lower()


@dataclass(frozen=True, slots=True)
class Ask:
    """What one request may bring back."""

    url: Url
    max_bytes: int
    types: tuple[str, ...] = ()
    """Kinds of content wanted of a good answer; empty: any."""
    headers: tuple[tuple[str, str], ...] = ()


class Fetcher:
    """Requests by Scrapy's downloader, without its middlewares."""

    def __init__(self, crawler: Any, settings: CrawlSettings, resolver: Resolver, user_agent: str):
        from scrapy import signals

        self.engine = crawler.engine
        self.settings, self.resolver = settings, resolver
        self.headers = {"User-Agent": user_agent, "Accept": "text/html,application/xhtml+xml,*/*;q=0.5"}
        self.headers["Accept-Encoding"] = "gzip, deflate"
        if settings.accept_language:
            self.headers["Accept-Language"] = settings.accept_language
        if "@" in settings.contact and ":" not in settings.contact:
            self.headers["From"] = settings.contact
        crawler.signals.connect(_stop_unwanted, signal=signals.headers_received)

    async def fetch(self, ask: Ask) -> Fetched:
        """Fetch an address; FetchError says why it could not be."""
        from scrapy import Request

        url = ask.url
        if _is_literal(url.host) and not self.resolver.guard.allows(url.host, url.host):
            raise FetchError(f"address refused: {url.host}", passing=False)
        headers = {**self.headers, **dict(ask.headers)}
        meta = {"download_timeout": self.settings.timeout, "download_maxsize": ask.max_bytes, "ask": ask}
        if self.settings.proxy:
            meta["proxy"] = self.settings.proxy
        start, now = time.monotonic(), datetime.now(timezone.utc)
        request = Request(url.text, headers=headers, meta=meta, dont_filter=True)
        try:
            response = await self.engine.download_async(request)
        except Exception as e:
            raise self._reason(e, url) from e
        return Fetched(
            status=response.status,
            version=response.protocol or "HTTP/1.1",
            headers=_headers(response.headers),
            body=_decode(response, ask.max_bytes),
            address=str(response.ip_address or ""),
            time=now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            seconds=round(time.monotonic() - start, 4),
            request=_request_bytes(url, headers),
        )

    def _reason(self, error: Exception, url: Url) -> FetchError:
        from scrapy import exceptions as known

        if isinstance(error, known.StopDownload):
            return FetchError(f"content type {_type_of(error.response)}", passing=False)
        if isinstance(error, known.CannotResolveHostError):
            if refused := self.resolver.refused.get(url.host):
                return FetchError(f"address refused: {refused}", passing=False)
            return FetchError("no such host", passing=True)
        words = {
            known.DownloadTimeoutError: (f"longer than {self.settings.timeout:g} seconds", True),
            known.DownloadCancelledError: ("too large", False),
            known.ResponseDataLossError: ("body cut short", True),
            known.DownloadConnectionRefusedError: ("connection refused", True),
        }
        for kind, (reason, passing) in words.items():
            if isinstance(error, kind):
                return FetchError(reason, passing=passing)
        inner = next((r.value for r in getattr(error.__cause__, "reasons", ())), error)
        if type(inner).__name__ == "ConnectionAborted":
            return FetchError("headers too large", passing=False)
        text = " ".join(str(inner).split())[:200]
        return FetchError(f"{type(inner).__name__}: {text}" if text else type(inner).__name__, passing=True)


def _stop_unwanted(headers: Any, body_length: int, request: Any) -> None:
    """End a transfer whose headers say that it is not wanted."""
    from scrapy.exceptions import StopDownload

    ask: Ask = request.meta["ask"]
    if ask.types and b"Location" not in headers:
        kind = headers.get(b"Content-Type", b"").decode("latin-1").partition(";")[0].strip().lower()
        if kind and not any(fnmatchcase(kind, wanted) for wanted in ask.types):
            raise StopDownload(fail=True)


def _is_literal(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()


def _type_of(response: Any) -> str:
    value: str = response.headers.get(b"Content-Type", b"").decode("latin-1")
    return value.partition(";")[0].strip().lower()[:100]


def _headers(headers: Any) -> tuple[tuple[str, str], ...]:
    return tuple((k.decode("latin-1"), v.decode("latin-1")) for k, values in headers.items() for v in values)


def _decode(response: Any, limit: int) -> bytes:
    """Undo gzip and deflate, no further than the limit."""
    body: bytes = response.body
    names = ",".join(v.decode("latin-1") for v in response.headers.getlist(b"Content-Encoding")).lower()
    for name in reversed([n.strip() for n in names.split(",") if n.strip()]):
        if name in ("gzip", "x-gzip"):
            body = unzip(body, limit) if body[:2] == b"\x1f\x8b" else body
        elif name == "deflate":
            body = _inflate(body, limit)
        elif name != "identity":
            raise FetchError(f"content encoding {name[:40]}", passing=False)
    return body


def unzip(data: bytes, limit: int) -> bytes:
    """Return what the gzip members hold; FetchError if that is more than `limit` bytes, or broken."""
    parts, size = [], 0
    while data:
        part, data = _unpack(data, 31, limit - size)
        size += len(part)
        parts.append(part)
        if data[:2] != b"\x1f\x8b":
            break
    return b"".join(parts)


def _inflate(data: bytes, limit: int) -> bytes:
    bits = 15 if data[:1] and data[0] & 15 == 8 and int.from_bytes(data[:2], "big") % 31 == 0 else -15
    return _unpack(data, bits, limit)[0]


def _unpack(data: bytes, bits: int, limit: int) -> tuple[bytes, bytes]:
    packer = zlib.decompressobj(bits)
    try:
        out = packer.decompress(data, limit + 1)
    except zlib.error as e:
        raise FetchError(f"broken compression: {e}", passing=True) from None
    if len(out) > limit:
        raise FetchError("too large decompressed", passing=False)
    if not packer.eof:
        raise FetchError("compressed body cut short", passing=True)
    return out, packer.unused_data


def _request_bytes(url: Url, headers: dict[str, str]) -> bytes:
    target = url.path + (f"?{url.query}" if url.query else "")
    host = url.origin.partition("://")[2]
    lines = [f"GET {target} HTTP/1.1", f"Host: {host}", *(f"{k}: {v}" for k, v in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")


def retry_after(value: str) -> float:
    """Return the seconds that a Retry-After header asks for (RFC 9110, section 10.2.3); 0 if none."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return 0.0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return max(0.0, moment.timestamp() - time.time())
