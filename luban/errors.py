"""Errors that say what is wrong and what to do about it."""

from __future__ import annotations


class LubanError(Exception):
    """A mistake the user can fix; the command line prints it without a traceback.

    LubanError("train.lr = -1 is not positive", fix="set train.lr to a number above 0")
    """

    exit_code = 2
    is_final = True
    """Whether the same command would end in the same way."""

    def __init__(self, problem: str, *, fix: str):
        super().__init__(f"{problem}\n  fix: {fix}")
        self.problem, self.fix = problem, fix


class ConfigError(LubanError):
    """A setting is unknown, has the wrong type, or cannot be."""


class DataError(LubanError):
    """Input data cannot be read or used."""


class CheckpointError(LubanError):
    """A model folder is missing a part, holds a wrong one, or is not safe to open."""


class BusyError(LubanError):
    """Another process is using the folder or the port."""


class DiskError(LubanError):
    """The disk refused: full, read-only, or no permission."""


class GateError(LubanError):
    """A check that guards the next stage said no."""

    exit_code = 3


class MissingExtra(LubanError):
    """An optional package is not installed."""

    def __init__(self, package: str, extra: str):
        super().__init__(
            f"this needs the package {package}, which is not installed",
            fix=f"pip install 'luban[{extra}]'",
        )


class Interrupted(LubanError):
    """The run was asked to stop by a signal; what it had is saved."""

    def __init__(self, problem: str, *, fix: str, signal: int = 15):
        super().__init__(problem, fix=fix)
        self.exit_code = 128 + signal
