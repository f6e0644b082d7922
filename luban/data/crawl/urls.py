"""Addresses in one spelling: the same page is always written the same way, what is no page is refused."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from urllib.parse import quote, urljoin, urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}
MAX_CHARS = 10_000
_BLANKS = re.compile(r"[\t\n\r]")
_SURROGATES = re.compile("[\ud800-\udfff]")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_PLAIN_PATH = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9_.~!$&'()*+,;=:@-]*)+").fullmatch
_PLAIN_HOST = re.compile(r"(?!.*\.\.)[a-z0-9_-][a-z0-9._-]*[a-z0-9_-]|[a-z0-9]").fullmatch
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_PATH_SAFE = "/%:@!$&'()*+,;=~-._[]|"
_QUERY_SAFE = _PATH_SAFE + "?"


class BadUrl(ValueError):
    """An address that will not be fetched; the message says why."""


@dataclass(frozen=True, slots=True)
class Url:
    """An http address in its one spelling."""

    text: str
    scheme: str
    host: str
    """Lower-case name, or an IP address; IPv6 without brackets."""
    port: int
    path: str
    query: str

    @property
    def origin(self) -> str:
        """Scheme, host and port: what one robots.txt speaks for."""
        return origin(self.scheme, self.host, self.port)

    @property
    def key(self) -> int:
        """63-bit number of the page: the same for another order of the query's parameters."""
        text = self.text
        if "&" in self.query:
            text = f"{text.partition('?')[0]}?{'&'.join(sorted(self.query.split('&')))}"
        return key_of(text)


def key_of(text: str) -> int:
    """Return a 63-bit number for a text."""
    return (
        int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "big") >> 1
    )


def origin(scheme: str, host: str, port: int) -> str:
    """Return the start of an address.

    origin("http", "::1", 8000) -> "http://[::1]:8000"
    """
    name = f"[{host}]" if ":" in host else host
    return f"{scheme}://{name}" if port == DEFAULT_PORTS[scheme] else f"{scheme}://{name}:{port}"


def parse_url(text: str, *, drop: Sequence[str] = (), encoding: str = "utf-8", base: str = "") -> Url:
    """Return the address in its one spelling (RFC 3986, section 6.2), or raise BadUrl.

    `drop` are patterns of parameters to leave out; `encoding` is the page's, in which browsers send a query.

    parse_url("HTTP://Example.com:80/a/../%7eb?utm_source=x&q=1#top", drop=("utm_*",)).text
    -> "http://example.com/~b?q=1"
    """
    if len(text) > MAX_CHARS:
        raise BadUrl("address too long")
    text = _SURROGATES.sub("\ufffd", _BLANKS.sub("", text.strip(" \t\n\r\f\0")))
    try:
        parts = urlsplit(urljoin(base, text) if base else text)
        port = parts.port
    except ValueError as e:
        raise BadUrl(f"not an address: {e}") from None
    scheme = parts.scheme.lower()
    if scheme not in DEFAULT_PORTS:
        raise BadUrl(f"not http or https: {scheme or 'no scheme'}")
    if "@" in parts.netloc:
        raise BadUrl("a user name in the address")
    if "[" in parts.netloc and ":" not in (parts.hostname or ""):
        raise BadUrl(f"not a host: {parts.netloc}")
    if port == 0:
        raise BadUrl("port 0")
    host = clean_host(parts.hostname or "")
    path = _clean_path(parts.path)
    if ";" in path and drop:
        path = "/".join(_without(part, ";", drop) for part in path.split("/"))
    query = _clean_query(parts.query, tuple(drop), encoding) if parts.query else ""
    port = port or DEFAULT_PORTS[scheme]
    whole = f"{origin(scheme, host, port)}{path}?{query}" if query else origin(scheme, host, port) + path
    return Url(whole, scheme, host, port, path, query)


@lru_cache(maxsize=10_000)
def clean_host(host: str) -> str:
    """Return a host's name in lower-case ASCII, an IP address in its usual form; BadUrl if it is neither.

    clean_host("0x7f.1") -> "127.0.0.1"; clean_host("Bücher.example.") -> "xn--bcher-kva.example"
    """
    import ipaddress

    if not host:
        raise BadUrl("no host")
    if host[0] == "[":
        host = host[1:].removesuffix("]")
    if ":" in host:
        try:
            return str(ipaddress.IPv6Address(host))
        except ValueError:
            raise BadUrl(f"not a host: {host}") from None
    host = host.replace("\u3002", ".").removesuffix(".").lower()
    if not host.isascii():
        host = _to_ascii(host)
    if "%" in host or len(host) > 253 or not _PLAIN_HOST(host):
        raise BadUrl(f"not a host: {host}")
    last = host.rpartition(".")[2]
    if last.isdigit() or re.fullmatch(r"0x[0-9a-f]*", last):
        return str(ipaddress.IPv4Address(_ipv4_number(host)))
    return host


def _to_ascii(host: str) -> str:
    import idna

    try:
        return idna.encode(host, uts46=True).decode("ascii").lower()
    except idna.IDNAError as e:
        raise BadUrl(f"not a host: {host}: {e}") from None


def _ipv4_number(host: str) -> int:
    """Read an IPv4 address as browsers do: octal, hexadecimal, and with fewer than four parts.

    URL Standard (WHATWG), "IPv4 parser".
    """
    parts = host.split(".")
    try:
        numbers = [_number(part) for part in parts]
    except ValueError:
        raise BadUrl(f"not an IPv4 address: {host}") from None
    if len(parts) > 4 or any(n > 255 for n in numbers[:-1]) or numbers[-1] >= 256 ** (5 - len(parts)):
        raise BadUrl(f"not an IPv4 address: {host}")
    return numbers[-1] + sum(n << (8 * (3 - i)) for i, n in enumerate(numbers[:-1]))


def _number(part: str) -> int:
    if part.startswith("0x"):
        return int(part[2:] or "0", 16)
    return int(part, 8 if len(part) > 1 and part[0] == "0" else 10)


def _clean_path(path: str) -> str:
    if not path:
        return "/"
    if _PLAIN_PATH(path):
        return path
    path = _clean_escapes(quote(path.replace("\\", "/"), safe=_PATH_SAFE))
    kept: list[str] = []
    for part in path.split("/")[1:]:
        if part == "..":
            del kept[-1:]
        elif part != ".":
            kept.append(part)
    if path.endswith(("/.", "/..")):
        kept.append("")
    return "/" + "/".join(kept)


@lru_cache(maxsize=2_000)
def _clean_query(query: str, drop: tuple[str, ...], encoding: str) -> str:
    if encoding.startswith(("utf", "ucs")):  # URL Standard: these are for reading only
        encoding = "utf-8"
    try:
        data = query.encode(encoding)
    except (UnicodeError, LookupError):
        data = query.encode()
    query = _clean_escapes(quote(data, safe=_QUERY_SAFE))
    if not drop:
        return query
    return "&".join(part for part in _without(query, "&", drop).split("&") if part)


def _without(text: str, mark: str, drop: Sequence[str]) -> str:
    """Return a list of parameters without those that a pattern names.

    _without("page;jsessionid=1;v=2", ";", ("jsessionid",)) -> "page;v=2"
    """
    kept = (p for p in text.split(mark) if not any(fnmatchcase(p.partition("=")[0].lower(), d) for d in drop))
    return mark.join(kept)


def _clean_escapes(text: str) -> str:
    """Decode the escapes that need not be, and write the others in upper case; a lone % becomes %25."""
    if "%" not in text:
        return text
    text = re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", text)
    return _ESCAPE.sub(_clean_escape, text)


def _clean_escape(match: re.Match[str]) -> str:
    value = int(match[1], 16)
    return chr(value) if value in _UNRESERVED else f"%{match[1].upper()}"
