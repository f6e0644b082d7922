"""What a program may use up, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from luban.errors import ConfigError

Verdict = Literal["ok", "failed", "timeout", "memory", "output", "sandbox_error"]
"""ok: ended with 0. sandbox_error: the program was not run as it should be, which is not its fault."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What one program may use up."""

    seconds: float = 10.0
    """By the clock on the wall, for all its processes."""
    cpu_seconds: int = 6
    """Of one process."""
    memory_bytes: int = 1 << 30
    """Address space of one process, and resident memory of all together."""
    output_bytes: int = 64 << 10
    """Of standard output and errors together; who writes more is stopped."""
    file_bytes: int = 16 << 20
    """Size of one file."""
    folder_bytes: int = 64 << 20
    """Size of all files in /tmp."""
    processes: int = 32
    """Processes and threads at a time."""
    open_files: int = 64
    """Of one process."""

    def __post_init__(self) -> None:
        for field in fields(self):
            if not getattr(self, field.name) > 0:
                raise ConfigError(
                    f"limits.{field.name} = {getattr(self, field.name)} cannot be",
                    fix=f"set {field.name} above 0",
                )

    @property
    def of_process(self) -> dict[str, tuple[int, int]]:
        """Soft and hard value of every limit that the kernel keeps for a process."""
        kept = {
            "RLIMIT_AS": self.memory_bytes,
            "RLIMIT_FSIZE": self.file_bytes,
            "RLIMIT_NPROC": self.processes,
            "RLIMIT_NOFILE": self.open_files,
            "RLIMIT_CORE": 0,
        }
        # One second between the signal that tells of it and the end.
        return {k: (v, v) for k, v in kept.items()} | {"RLIMIT_CPU": (self.cpu_seconds, self.cpu_seconds + 1)}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a program."""

    verdict: Verdict
    stdout: str = ""
    stderr: str = ""
    seconds: float = 0.0
    code: int | None = None
    """Exit code; 128 and the signal for one that was ended by it; None for one that was stopped."""
    problem: str = ""
    """For people: why it is not ok, or what is wrong with the sandbox."""
