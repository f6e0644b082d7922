"""The parts of this Python that a sandbox shows: the program, its standard library, shared libraries."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
import threading
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from luban.errors import BusyError, ConfigError

PLACE = "/py"
"""Where it lies in a sandbox."""
SHARED = f"{PLACE}/lib/shared"
PACKAGES = ("site-packages", "dist-packages")
MOST_SECONDS = 300
"""For ldd, which starts a program for each library."""
_FINDING = threading.Lock()


@dataclass(frozen=True, slots=True)
class Interpreter:
    """Files of an interpreter on this machine."""

    program: Path
    library: Path
    shared: tuple[Path, ...]
    loader: Path
    """The dynamic loader, whose place is written in the program."""

    def binds(self, place: str) -> list[str]:
        """Return bubblewrap's arguments that show it below `place`, without any package installed in it."""
        inside = f"{place}/{sys.platlibdir}/{self.library.name}"
        arguments = []
        for folder in (
            "bin",
            "lib",
            "lib/shared",
            sys.platlibdir,
        ):  # made by a bind, they are closed to others
            arguments += ["--perms", "0755", "--dir", f"{place}/{folder}"]
        arguments += ["--ro-bind", str(self.program), f"{place}/bin/python"]
        arguments += ["--ro-bind", str(self.library), inside]
        for name in PACKAGES:
            if (self.library / name).is_dir():
                arguments += ["--tmpfs", f"{inside}/{name}"]
        for path in self.shared:
            arguments += ["--ro-bind", str(path), f"{place}/lib/shared/{path.name}"]
        return arguments


def find_interpreter() -> Interpreter:
    """Find the parts of the interpreter that runs this; once, though many threads ask at the same time."""
    with _FINDING:
        return _find()


@cache
def _find() -> Interpreter:
    program = Path(getattr(sys, "_base_executable", sys.executable) or sys.executable).resolve()
    library = Path(sysconfig.get_path("stdlib", vars={"installed_base": sys.base_prefix})).resolve()
    modules = sorted((library / "lib-dynload").glob("*.so"))
    shared, loader = _shared_libraries([program, *modules])
    if loader is None:
        raise ConfigError(
            f"{program} is not a program that the sandbox can show: it has no dynamic loader",
            fix="run luban by a usual build of Python for Linux",
        )
    for name in ("libgcc_s.so.1",):  # the C library opens it when a thread is ended
        found = next((p.parent / name for p in shared if (p.parent / name).is_file()), None)
        shared += [found] if found and found.name not in {p.name for p in shared} else []
    return Interpreter(program, library, tuple(shared), loader)


def _shared_libraries(files: list[Path]) -> tuple[list[Path], Path | None]:
    try:
        run = subprocess.run(["ldd", *map(str, files)], capture_output=True, text=True, timeout=MOST_SECONDS)
    except FileNotFoundError:
        raise ConfigError(
            "the sandbox needs the program ldd", fix="install libc-bin, or glibc-common"
        ) from None
    except subprocess.TimeoutExpired:
        raise BusyError(
            f"ldd did not tell the libraries of {files[0]} in {MOST_SECONDS} s",
            fix="wait until this machine has less to do",
        ) from None
    found: dict[str, Path] = {}
    loader = None
    for line in run.stdout.splitlines():
        if match := re.match(r"\s*(\S+) => (/\S+) \(0x", line):
            found[match[1]] = Path(match[2])
        elif match := re.match(r"\s*(/\S*ld\S*) \(0x", line):
            loader = Path(match[1])
    return [path for _, path in sorted(found.items())], loader
