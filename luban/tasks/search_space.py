"""Which settings a search tries, and between which bounds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from luban.errors import ConfigError

_RANGE = re.compile(r"^\s*(\S+?)\s*\.\.\s*(\S+?)\s*(:log)?\s*$")
HOW = "write NAME=LOW..HIGH, NAME=LOW..HIGH:log, or NAME=A,B,C"


@dataclass(frozen=True, slots=True)
class Choice:
    """One setting, and either its bounds or the values to choose from."""

    name: str
    low: float = 0.0
    high: float = 0.0
    is_log: bool = False
    is_whole: bool = False
    values: tuple[Any, ...] = ()

    def first(self) -> Any:
        """Return one value that may be tried."""
        return self.values[0] if self.values else int(self.low) if self.is_whole else self.low

    def suggest(self, trial: Any) -> Any:
        """Let a trial of optuna draw a value."""
        if self.values:
            return self.values[trial.suggest_categorical(self.name, list(range(len(self.values))))]
        if self.is_whole:
            return trial.suggest_int(self.name, int(self.low), int(self.high), log=self.is_log)
        return trial.suggest_float(self.name, self.low, self.high, log=self.is_log)


def read_space(texts: Sequence[str]) -> list[Choice]:
    """Read settings to try.

    read_space(["train.lr=1e-5..1e-3:log", "train.pool=first,mean"])
    """
    found = [_choice(text) for text in texts]
    if not found:
        raise ConfigError("no setting to search", fix="give --space train.lr=1e-5..1e-3:log")
    names = [choice.name for choice in found]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ConfigError(f"{twice} is searched twice", fix="give it once")
    return found


def _choice(text: str) -> Choice:
    name, is_there, given = (part.strip() for part in text.partition("="))
    if not name or not is_there or not given:
        raise ConfigError(f"--space {text} says nothing to try", fix=HOW)
    if (found := _RANGE.match(given)) is not None:
        return _range(name, found, text)
    values = tuple(yaml.safe_load(part.strip() or "null") for part in given.split(","))
    if len(values) < 2 or len({str(v) for v in values}) < len(values):
        raise ConfigError(f"--space {text} gives one value only, or one twice", fix=HOW)
    return Choice(name, values=values)


def _range(name: str, found: re.Match[str], text: str) -> Choice:
    try:
        low, high = float(found[1]), float(found[2])
    except ValueError:
        raise ConfigError(f"--space {text}: {found[1]} or {found[2]} is no number", fix=HOW) from None
    is_log, is_whole = bool(found[3]), found[1].lstrip("-").isdigit() and found[2].isdigit()
    if not low < high or (is_log and low <= 0):
        raise ConfigError(f"--space {text}: nothing lies between", fix="give LOW < HIGH, above 0 for :log")
    return Choice(name, low, high, is_log, is_whole)
