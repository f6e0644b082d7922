"""Which IP addresses may be connected to, and a resolver that lets no other through.

The connection is made to the very address that was checked, so that a name which changes its address between
the check and the connection (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from luban.data.crawl.urls import clean_host

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NAT64 = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))
"""Addresses that stand for an IPv4 address in their last four bytes (RFC 6052, RFC 8215)."""
_ALSO_REFUSED = (ipaddress.IPv4Network("192.0.0.0/24"), ipaddress.IPv4Network("168.63.129.16/32"))
"""Protocol assignments (RFC 6890; older Pythons know a part), and a cloud's public metadata address."""
_REMEMBER_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Guard:
    """The rule: public addresses, and what the user has allowed by name."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    @classmethod
    def of(cls, hosts: Iterable[str], networks: Iterable[str]) -> Guard:
        """Make the rule from settings."""
        return cls(
            frozenset(clean_host(h) for h in hosts),
            tuple(ipaddress.ip_network(n) for n in networks),
        )

    def allows(self, host: str, address: str) -> bool:
        """Whether `host` may be reached at `address`."""
        try:
            ip = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        inner = _inner(ip)
        return host in self.hosts or any(inner in n or ip in n for n in self.networks) or _is_public(inner)


def _inner(ip: Address) -> Address:
    """Return the IPv4 address that an IPv6 address wraps, if it does."""
    if isinstance(ip, ipaddress.IPv4Address):
        return ip
    if ip.ipv4_mapped:
        return ip.ipv4_mapped
    if ip.sixtofour:
        return ip.sixtofour
    if any(ip in n for n in _NAT64) or int(ip) < 1 << 32 and int(ip) > 1:
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip


def _is_public(ip: Address) -> bool:
    """Whether the IANA registries call it globally reachable; multicast and site-local ones are out too."""
    outside = ip.is_multicast or ip.is_unspecified or ip.is_reserved or ip.is_loopback or ip.is_link_local
    outside = outside or any(ip in n for n in _ALSO_REFUSED)
    return ip.is_global and not outside and not getattr(ip, "is_site_local", False)


Lookup = Callable[[str, int], list[str]]


def look_up(host: str, port: int) -> list[str]:
    """Ask the system for the addresses of a name."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(slots=True)
class Resolver:
    """Names to addresses that the guard allows; what it refused stays known by host."""

    guard: Guard
    lookup: Lookup = look_up
    refused: dict[str, str] = field(default_factory=dict)
    _known: dict[str, tuple[float, list[str]]] = field(default_factory=dict)

    def resolve(self, host: str, port: int) -> list[str]:
        """Return the allowed addresses, none if the name does not exist; blocks."""
        known = self._known.get(host)
        if known and known[0] > time.monotonic():
            return known[1]
        try:
            found = self.lookup(host, port)
        except OSError:
            return []
        allowed = [address for address in found if self.guard.allows(host, address)]
        if allowed:
            self.refused.pop(host, None)
            self._known[host] = (time.monotonic() + _REMEMBER_SECONDS, allowed)
        elif found:
            self.refused[host] = found[0]
        if len(self._known) > 10_000:
            self._known.clear()
        return allowed


def twisted_resolver(resolver: Resolver) -> type[Any]:
    """Return the class that Scrapy installs as the only way from names to addresses."""
    from twisted.internet.address import IPv4Address, IPv6Address
    from twisted.internet.interfaces import IHostnameResolver
    from twisted.internet.threads import deferToThread
    from zope.interface import implementer

    @implementer(IHostnameResolver)
    class GuardedResolver:
        def __init__(self, reactor: Any):
            self.reactor = reactor

        @classmethod
        def from_crawler(cls, crawler: Any, reactor: Any) -> GuardedResolver:
            return cls(reactor)

        def install_on_reactor(self) -> None:
            self.reactor.installNameResolver(self)

        def resolveHostName(
            self,
            receiver: Any,
            hostName: str,
            portNumber: int = 0,
            addressTypes: Sequence[Any] | None = None,
            transportSemantics: str = "TCP",
        ) -> Any:
            receiver.resolutionBegan(self)

            def finish(addresses: list[str]) -> None:
                for address in addresses:
                    kind = IPv6Address if ":" in address else IPv4Address
                    receiver.addressResolved(kind("TCP", address, portNumber))
                receiver.resolutionComplete()

            deferToThread(resolver.resolve, hostName, portNumber).addCallback(finish)
            return self

        def cancel(self) -> None:
            """Do nothing: a look-up in a thread cannot be stopped."""

    return GuardedResolver
