"""The filter's numbers and decisions, on both machines, without running anything under it."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

from luban.errors import ConfigError
from luban.sandbox.syscalls import ALLOWED, CLONE, WITH_VALUES, filter_program

ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
HEADERS = {
    "x86_64": ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", r"#define __NR_(\w+) (\d+)"),
    "aarch64": ("/usr/include/asm-generic/unistd.h", r"#define __NR(?:3264)?_(\w+) (\d+)"),
}
RENAMED = {"newfstatat": "fstatat"}
ALLOW, EPERM, ENOSYS, KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000


def decide(machine: str, number: int, *arguments: int, architecture: int | None = None) -> int:
    """Return what the filter says of a call: a machine of three instructions."""
    given = ARCHITECTURE[machine] if architecture is None else architecture
    data = struct.pack("<IIQ6Q", number, given, 0, *(*arguments, *[0] * 6)[:6])
    steps = [struct.unpack("HBBI", s) for s in (lambda p: [p[i : i + 8] for i in range(0, len(p), 8)])(
        filter_program(machine)
    )]  # fmt: skip
    value, at = 0, 0
    while True:
        code, if_true, if_false, k = steps[at]
        at += 1
        if code == 0x06:
            return int(k)
        if code == 0x20:
            value = struct.unpack_from("<I", data, k)[0]
        else:
            holds = value == k if code == 0x15 else value & k
            at += if_true if holds else if_false


@pytest.mark.parametrize("machine", ARCHITECTURE)
def test_numbers_are_those_of_the_kernels_headers(machine: str) -> None:
    path, pattern = HEADERS[machine]
    if not Path(path).is_file():
        pytest.skip(f"this machine has no {path}")
    numbers = {m[1]: int(m[2]) for m in re.finditer(pattern, Path(path).read_text())}
    column = 1 if machine == "x86_64" else 2
    for entry in (*ALLOWED.split(), *WITH_VALUES, CLONE):
        name, written = entry.split(":")[0], entry.split(":")[column]
        known = numbers.get(RENAMED.get(name, name) if machine == "aarch64" else name)
        assert written == ("-" if known is None else str(known)), name


@pytest.mark.parametrize(
    ("machine", "number", "arguments", "decision"),
    [
        ("x86_64", 0, (), ALLOW),  # read
        ("aarch64", 63, (), ALLOW),
        ("x86_64", 165, (), ENOSYS),  # mount
        ("aarch64", 40, (), ENOSYS),
        ("x86_64", 101, (), ENOSYS),  # ptrace
        ("x86_64", 435, (), ENOSYS),  # clone3
        ("x86_64", 9999, (), ENOSYS),  # calls that are not invented yet
        ("x86_64", 0x40000000, (), ENOSYS),  # read, of the x32 kind
        ("x86_64", 56, (0x01200011,), ALLOW),  # clone as fork does it
        ("x86_64", 56, (0x003D0F00,), ALLOW),  # clone as threads do it
        ("x86_64", 56, (0x10000011,), EPERM),  # with a user namespace
        ("aarch64", 220, (0x40000011,), EPERM),  # with a network namespace
        ("x86_64", 41, (1, 1), ALLOW),  # socket of AF_UNIX
        ("x86_64", 41, (2, 1), EPERM),  # of AF_INET
        ("aarch64", 198, (40, 1), EPERM),  # of AF_VSOCK
        ("x86_64", 16, (0, 0x5401), ALLOW),  # ioctl TCGETS
        ("x86_64", 16, (0, 0x5412), EPERM),  # TIOCSTI
        ("x86_64", 157, (15,), ALLOW),  # prctl PR_SET_NAME
        ("x86_64", 157, (38,), EPERM),
    ],
)
def test_the_filter_decides(machine: str, number: int, arguments: tuple[int, ...], decision: int) -> None:
    assert decide(machine, number, *arguments) == decision


def test_calls_of_another_architecture_end_the_program() -> None:
    assert decide("x86_64", 0, architecture=0x40000003) == KILL  # i386, whose numbers mean other calls


def test_a_machine_that_is_not_known_is_refused() -> None:
    with pytest.raises(ConfigError, match="no list of kernel calls for riscv64"):
        filter_program("riscv64")
