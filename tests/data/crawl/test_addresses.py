from __future__ import annotations

import socket

import pytest

from luban.data.crawl.addresses import Guard, Resolver


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.9.9.9", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
        "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "100.100.100.200", "192.0.0.192", "168.63.129.16",
        "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1", "fec0::1",
        "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "nonsense",
        "64:ff9b:1::10.0.0.1",
    ],
)  # fmt: skip
def test_addresses_of_ones_own_network_are_refused(address: str) -> None:
    assert not Guard().allows("a.example", address)


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_public_addresses_are_allowed(address: str) -> None:
    assert Guard().allows("a.example", address)


def test_a_host_or_a_network_is_allowed_by_name() -> None:
    guard = Guard.of(["intranet", "[::1]"], ["10.1.0.0/16", "fd00::/8"])
    assert guard.allows("intranet", "192.168.0.5")
    assert guard.allows("::1", "::1")
    assert guard.allows("other", "10.1.2.3")
    assert guard.allows("other", "::ffff:10.1.2.3")
    assert guard.allows("other", "fd12::1")
    assert not guard.allows("other", "10.2.0.1")
    assert not guard.allows("other.intranet", "192.168.0.5")


def test_only_allowed_addresses_of_a_name_are_handed_on_and_for_a_while() -> None:
    answers = [["8.8.8.8", "127.0.0.1"], ["127.0.0.1"]]
    resolver = Resolver(Guard(), lambda host, port: answers.pop(0))
    assert resolver.resolve("a.example", 80) == ["8.8.8.8"]
    assert resolver.resolve("a.example", 80) == ["8.8.8.8"]
    assert resolver.resolve("b.example", 80) == []
    assert resolver.refused == {"b.example": "127.0.0.1"}


def test_a_name_that_does_not_exist_has_no_addresses_and_is_not_refused() -> None:
    def fail(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    resolver = Resolver(Guard(), fail)
    assert resolver.resolve("none.example", 80) == []
    assert not resolver.refused
