"""The first program in a sandbox: sets its limits, and becomes the program that is asked for.

Its text is given to the interpreter inside, so that it imports nothing of Luban.
"""

from __future__ import annotations

import os
import resource
import sys


def main(status: int, limits: str, command: list[str]) -> None:
    """Say "r" on `status` when all is ready; more on it says why the program could not be started."""
    os.set_inheritable(status, False)
    os.closerange(3, status)
    os.closerange(status + 1, 4096)
    for limit in limits.split(","):
        name, soft, hard = limit.split(":")
        resource.setrlimit(getattr(resource, name), (int(soft), int(hard)))
    os.write(status, b"r")
    try:
        os.execv(command[0], command)
    except OSError as e:
        os.write(status, str(e).encode())


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
