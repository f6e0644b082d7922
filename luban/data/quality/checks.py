"""A check compares one value with its threshold, and says both where a document fails."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from luban.records import Document, Drop


class Failure(NamedTuple):
    """One value of a document beside the threshold that it fails."""

    reason: str
    value: float
    limit: float
    what: str
    side: str

    def drop(self, rule: str) -> Drop:
        """Return why the document is left out."""
        detail = f"{_number(self.value)} {self.what}, {self.side} {_number(self.limit)}"
        return Drop(f"{rule}: {self.reason}", detail)


Checks = Iterator["Failure | None"]
"""Checks in order, each made when the one before has passed; None passes."""


def at_least(reason: str, value: float, limit: float, what: str) -> Failure | None:
    """Check that a value reaches its threshold."""
    return None if value >= limit else Failure(reason, value, limit, what, "at least")


def at_most(reason: str, value: float, limit: float, what: str) -> Failure | None:
    """Check that a value does not exceed its threshold."""
    return None if value <= limit else Failure(reason, value, limit, what, "at most")


def judge(rule: str, document: Document, checks: Iterable[Failure | None]) -> Document | Drop:
    """Return the document, or the Drop of the first check that fails; later ones are not made."""
    return next((failure.drop(rule) for failure in checks if failure), document)


def is_judged(document: Document, languages: tuple[str, ...]) -> bool:
    """Whether a set of rules speaks of a document's language; without languages it speaks of all."""
    return not languages or document.language in languages


def ratio(part: float, whole: float) -> float:
    """Return a share, 0 of nothing."""
    return part / whole if whole else 0.0


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.4g}"
