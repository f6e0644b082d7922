"""A check compares one value with its threshold, and says both where a document fails."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from luban.records import Document, Drop


class Check(NamedTuple):
    """One value of a document beside its threshold."""

    reason: str
    value: float
    limit: float
    what: str
    passes: bool
    words: str

    def drop(self, rule: str) -> Drop:
        """Return why a document that fails is left out."""
        detail = f"{_number(self.value)} {self.what}, {self.words} {_number(self.limit)}"
        return Drop(f"{rule}: {self.reason}", detail)


def at_least(reason: str, value: float, limit: float, what: str) -> Check:
    """Check that a value reaches its threshold."""
    return Check(reason, value, limit, what, value >= limit, "at least")


def at_most(reason: str, value: float, limit: float, what: str) -> Check:
    """Check that a value does not exceed its threshold."""
    return Check(reason, value, limit, what, value <= limit, "at most")


def judge(rule: str, document: Document, checks: Iterable[Check]) -> Document | Drop:
    """Return the document, or the Drop of the first check that fails; later ones are not made."""
    return next((check.drop(rule) for check in checks if not check.passes), document)


def is_judged(document: Document, languages: tuple[str, ...]) -> bool:
    """Whether a set of rules speaks of a document's language; without languages it speaks of all."""
    return not languages or document.language in languages


def ratio(part: float, whole: float) -> float:
    """Return a share, 0 of nothing."""
    return part / whole if whole else 0.0


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.4g}"


Checks = Iterator[Check]
