"""The command line of bubblewrap for one sandbox: nothing is in it but what is named here.

No /proc, /sys, /etc, home, temporary folder of the machine, network, environment or terminal; everything
is read-only but a small /tmp. Root becomes an ordinary user before the sandbox is made, for the kernel
counts no processes of root's; see run.py for the rest of the confinement.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from luban.errors import BusyError, ConfigError
from luban.sandbox.interpreter import PLACE, SHARED, find_interpreter
from luban.sandbox.limits import Limits

HOME = "/tmp"
NOBODY = "65534"
"""User and group as the program sees them."""
VIEW = "/mnt"
"""Where root shows the interpreter to the user it becomes, who may not enter root's own folders."""
FIRST_UID, N_UIDS = 64_512, 256
"""Users of this machine that root becomes: one for each sandbox at a time."""
DEVICES = ("null", "zero", "full", "random", "urandom")


def find_program(name: str, package: str) -> str:
    """Return the path of a program, or say how to install it."""
    found = shutil.which(name)
    if found is None:
        raise ConfigError(
            f"programs that a model writes run only in a sandbox, and its program {name} is not installed",
            fix=f"apt-get install {package} (or dnf, apk, pacman); or, on a machine that you can do "
            "without, --unsafe-exec",
        )
    return found


def check_platform() -> None:
    """Refuse a system on which there is no sandbox."""
    if not sys.platform.startswith("linux"):
        raise ConfigError(
            f"programs that a model writes run only in a sandbox, which {sys.platform} does not have",
            fix="use Linux, such as WSL 2 or a container; or, on a machine that you can do without, "
            "--unsafe-exec",
        )
    find_program("bwrap", "bubblewrap")
    if os.geteuid() == 0:
        find_program("setpriv", "util-linux")


@contextmanager
def own_user() -> Iterator[int | None]:
    """Lend a user that no other sandbox of this machine has; None for who cannot become another."""
    if os.geteuid() != 0:
        yield None
        return
    for uid in range(FIRST_UID, FIRST_UID + N_UIDS):
        with socket.socket(socket.AF_UNIX) as held:  # the kernel frees the name when this process ends
            try:
                held.bind(f"\0luban-sandbox-{uid}")
            except OSError:
                continue
            yield uid
            return
    raise BusyError(f"{N_UIDS} sandboxes run on this machine", fix="wait for some of them to end")


def command(
    program: list[str],
    files: Mapping[str, int],
    limits: Limits,
    user: int | None,
    filter_fd: int,
    info_fd: int,
) -> list[str]:
    """Return the command that runs `program` alone; `files` are open files by their name below /tmp."""
    bwrap, view = find_program("bwrap", "bubblewrap"), find_interpreter().binds
    tell = ["--die-with-parent", "--json-status-fd", str(info_fd)]
    if user is None:
        return [bwrap, *tell, *_sandbox(view(PLACE), files, limits, filter_fd), "--", *program]
    # A process namespace around it: one that is no longer root's would not end with its parent.
    show = ["--unshare-pid", "--dev-bind", "/", "/", "--tmpfs", VIEW, *view(VIEW)]
    become = [find_program("setpriv", "util-linux"), f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    inner = _sandbox(["--ro-bind", VIEW, PLACE], files, limits, filter_fd)
    return [bwrap, *tell, *show, "--", *become, bwrap, "--die-with-parent", *inner, "--", *program]


def _sandbox(interpreter: list[str], files: Mapping[str, int], limits: Limits, filter_fd: int) -> list[str]:
    loader = str(find_interpreter().loader)
    arguments = ["--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]
    arguments += ["--unshare-cgroup", "--uid", NOBODY, "--gid", NOBODY, "--hostname", "sandbox"]
    arguments += ["--new-session", "--cap-drop", "ALL"]
    arguments += ["--clearenv", "--setenv", "PATH", f"{PLACE}/bin", "--setenv", "HOME", HOME]
    arguments += ["--setenv", "LD_LIBRARY_PATH", SHARED]
    arguments += [*interpreter, "--ro-bind", loader, loader]
    for name in DEVICES:
        arguments += ["--dev-bind", f"/dev/{name}", f"/dev/{name}"]
    arguments += ["--perms", "1777", "--size", str(limits.folder_bytes), "--tmpfs", HOME, "--chdir", HOME]
    for name, fd in files.items():
        arguments += ["--perms", "0644", "--file", str(fd), f"{HOME}/{name}"]
    return [*arguments, "--remount-ro", "/", "--seccomp", str(filter_fd)]
