"""Whether this machine can confine a program: not by what is installed, but by trying."""

from __future__ import annotations

from luban.errors import ConfigError, LubanError
from luban.sandbox.limits import Limits
from luban.sandbox.run import run_in_sandbox

PROBE = """
import os, socket
print(os.getuid(), os.path.exists("/proc"), os.path.exists("/etc"), len(os.listdir("/tmp")))
try:
    socket.socket(socket.AF_INET)
except OSError:
    print("no network")
"""
EXPECTED = "65534 False False 1\nno network\n"


def what_is_wrong() -> tuple[str, str] | None:
    """Run a harmless program in a sandbox; return problem and fix, or None if all is well."""
    try:
        outcome = run_in_sandbox({"main.py": PROBE}, ["main.py"], Limits(seconds=20))
    except LubanError as e:
        return e.problem, e.fix
    if outcome.verdict != "ok" or outcome.stdout != EXPECTED:
        said = outcome.problem or outcome.stdout.strip()
        return f"a sandbox cannot be made here: {said}", _fix(said)
    return None


def require_sandbox() -> None:
    """Refuse to go on where programs cannot be confined."""
    wrong = what_is_wrong()
    if wrong:
        raise ConfigError(wrong[0], fix=wrong[1])


def _fix(said: str) -> str:
    if "namespace" in said or "not permitted" in said.lower() or "uid map" in said:
        return (
            "allow user namespaces (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, "
            "kernel.apparmor_restrict_unprivileged_userns), or start the container with them"
        )
    return "update bubblewrap to 0.8 or newer, and see what it says"
