"""Read facts that may be partial or broken: what is not usable is left out and noted."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Part:
    """A mapping from a file. Asking gives a value of the right kind, or nothing and a note.

    Part({"loss": "low"}, "metrics.jsonl", notes).number("loss") -> None, and a note
    """

    data: dict[str, Any]
    where: str
    notes: list[str]

    def number(self, key: str) -> float | None:
        """Return a finite number."""
        value = self.data.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            self._note(key, f"is {_show(value)}, not a number")
            return None
        if not math.isfinite(value):
            self._note(key, f"is {value}, which cannot be drawn")
            return None
        return float(value)

    def count(self, key: str) -> int | None:
        """Return a whole number."""
        value = self.number(key)
        return None if value is None else int(value)

    def text(self, key: str, default: str = "") -> str:
        """Return a text; numbers and truth values are written out."""
        value = self.data.get(key)
        if value is None:
            return default
        if isinstance(value, dict | list):
            self._note(key, f"is {_show(value)}, not a text")
            return default
        return str(value)

    def flag(self, key: str) -> bool | None:
        """Return a truth value."""
        value = self.data.get(key)
        if value is None or isinstance(value, bool):
            return value
        self._note(key, f"is {_show(value)}, not true or false")
        return None

    def part(self, key: str) -> Part:
        """Return a mapping inside this one; an empty one where there is none."""
        value = self.data.get(key)
        if value is not None and not isinstance(value, dict):
            self._note(key, f"is {_show(value)}, not a mapping")
        return Part(value if isinstance(value, dict) else {}, f"{self.where}: {key}", self.notes)

    def parts(self, key: str) -> list[Part]:
        """Return the mappings of a list."""
        return [self._entry(key, v) for v in self.values(key) if self._is_mapping(key, v)]

    def children(self) -> dict[str, Part]:
        """Return this mapping's values as mappings by name."""
        return {str(k): self._entry(k, v) for k, v in self.data.items() if self._is_mapping(k, v)}

    def numbers(self) -> dict[str, float]:
        """Return this mapping's values that are finite numbers."""
        found = {str(k): self.number(k) for k in self.data}
        return {k: v for k, v in found.items() if v is not None}

    def values(self, key: str) -> list[Any]:
        """Return a list."""
        value = self.data.get(key)
        if value is None or isinstance(value, list):
            return value or []
        self._note(key, f"is {_show(value)}, not a list")
        return []

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list's values as texts."""
        return tuple(v if isinstance(v, str) else json.dumps(v, ensure_ascii=False) for v in self.values(key))

    def _entry(self, key: str, value: dict[str, Any]) -> Part:
        return Part(value, f"{self.where}: {key}", self.notes)

    def _is_mapping(self, key: str, value: Any) -> bool:
        if not isinstance(value, dict):
            self._note(key, f"holds {_show(value)}, not a mapping")
        return isinstance(value, dict)

    def _note(self, key: str, problem: str) -> None:
        line = f"{self.where}: {key} {problem}"
        if line not in self.notes:
            self.notes.append(line)


def read_rows(path: Path, where: str, notes: list[str]) -> Iterator[Part]:
    """Yield the mappings of a JSON-lines file; count the lines that are none in a note."""
    broken = 0
    try:
        with path.open("r", encoding="utf-8", errors="replace") as f:
            for line in f:
                try:
                    row = json.loads(line)
                except ValueError:
                    row = None
                if isinstance(row, dict):
                    yield Part(row, where, notes)
                elif line.strip():
                    broken += 1
    except FileNotFoundError:
        return
    except OSError as e:
        notes.append(f"{where} cannot be read: {e.strerror}")
    if broken:
        notes.append(f"{where}: {broken} unreadable line{'s' if broken > 1 else ''} left out")


def language_of(text: str) -> str:
    """Return zh or en where the text shows it, else nothing.

    language_of("这部电影很好看") -> "zh"     language_of("it is the best of them") -> "en"
    """
    letters = [c for c in text if c.isalpha()]
    if not letters:
        return ""
    if sum("一" <= c <= "鿿" for c in letters) > 0.3 * len(letters):
        return "zh"
    words = text.lower().split()
    return "en" if sum(w in _ENGLISH for w in words) >= max(1, 0.08 * len(words)) else ""


_ENGLISH = frozenset(
    (
        "the",
        "a",
        "an",
        "of",
        "and",
        "is",
        "are",
        "was",
        "it",
        "its",
        "to",
        "in",
        "that",
        "this",
        "with",
        "for",
    )
)


def _show(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 40 else f"{text[:37]}..."
