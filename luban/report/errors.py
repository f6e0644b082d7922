"""Where a scored model errs: confusions with their texts, accuracy by length and language, worst rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from luban.report.reading import Part, language_of, read_rows

MAX_CONFUSIONS, MAX_TEXTS, MAX_WORST = 6, 3, 8
EDGES = (0, 20, 50, 100, 200, 500, 1000)
"""Lengths of texts, in characters, at which bins begin."""
TEXTS = ("text", "question", "source", "messages")
SAID = ("predicted", "answer", "translation", "value", "labels")
WANTED = ("label", "answers", "references", "expected")
MEASURES = ("score", "f1", "chrf", "correct")


@dataclass(frozen=True, slots=True)
class Scored:
    """One row: what it read, what was wanted and said, how good that was, and how sure the model."""

    text: str
    wanted: str
    said: str
    score: float
    sure: float


@dataclass(frozen=True, slots=True)
class Errors:
    """What a page tells of the errors of one scored model."""

    is_classes: bool
    confusions: tuple[tuple[str, str, tuple[Scored, ...], int], ...]
    """(wanted, said, the surest texts, how many)."""
    by_length: tuple[tuple[str, int, float], ...]
    by_language: tuple[tuple[str, int, float], ...]
    worst: tuple[Scored, ...]


def read_errors(folder: Path, name: str, notes: list[str]) -> Errors | None:
    """Read predictions.jsonl of a scores folder; None where its rows bring no score."""
    rows = list(_rows(folder / "predictions.jsonl", f"{name}/predictions.jsonl", notes))
    if not rows:
        return None
    is_classes = all(row.score in (0.0, 1.0) for row in rows)
    wrong = [row for row in rows if row.score < 1] if is_classes else []
    worst = sorted(rows, key=lambda row: row.score)[:MAX_WORST] if not is_classes else []
    return Errors(is_classes, _confusions(wrong), _by_length(rows), _by_language(rows), tuple(worst))


def _rows(path: Path, where: str, notes: list[str]) -> Iterator[Scored]:
    for row in read_rows(path, where, notes):
        score = _measure(row)
        if score is not None:
            said, wanted = _first(row, SAID), _first(row, WANTED)
            yield Scored(_first(row, TEXTS), wanted, said, score, row.number("probability") or 0.0)


def _measure(row: Part) -> float | None:
    """Return how good a row is: its first named score, or whether its label is right."""
    if isinstance(row.data.get("score"), dict):
        return next(iter(row.part("score").numbers().values()), None)
    if "label" in row.data and "predicted" in row.data:
        return float(row.text("label") == row.text("predicted"))
    for name in reversed(MEASURES):
        if isinstance(row.data.get(name), int | float):
            return row.number(name)
    return None


def _first(row: Part, names: Sequence[str]) -> str:
    value = next((row.data[name] for name in names if row.data.get(name) not in (None, "", [])), "")
    return " / ".join(map(str, value)) if isinstance(value, list) else str(value)


def _confusions(wrong: Sequence[Scored]) -> tuple[tuple[str, str, tuple[Scored, ...], int], ...]:
    groups: dict[tuple[str, str], list[Scored]] = {}
    for row in wrong:
        groups.setdefault((row.wanted, row.said), []).append(row)
    largest = sorted(groups.items(), key=lambda item: -len(item[1]))[:MAX_CONFUSIONS]
    return tuple(
        (wanted, said, tuple(sorted(rows, key=lambda r: -r.sure)[:MAX_TEXTS]), len(rows))
        for (wanted, said), rows in largest
    )


def _by_length(rows: Sequence[Scored]) -> tuple[tuple[str, int, float], ...]:
    bins = [(f"{low}–{high - 1}", low, high) for low, high in pairwise(EDGES)]
    bins.append((f"≥ {EDGES[-1]}", EDGES[-1], 1 << 62))
    return tuple(_mean(name, [r for r in rows if low <= len(r.text) < high]) for name, low, high in bins
                 if any(low <= len(r.text) < high for r in rows))  # fmt: skip


def _by_language(rows: Sequence[Scored]) -> tuple[tuple[str, int, float], ...]:
    groups: dict[str, list[Scored]] = {}
    for row in rows:
        groups.setdefault(language_of(row.text), []).append(row)
    return tuple(_mean(name, members) for name, members in sorted(groups.items()))


def _mean(name: str, rows: Sequence[Scored]) -> tuple[str, int, float]:
    return name, len(rows), sum(row.score for row in rows) / len(rows)
