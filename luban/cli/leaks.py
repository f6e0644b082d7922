"""How `luban data leaks` shows what it found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SHOWN = 5


def print_leaks(facts: Mapping[str, Any]) -> None:
    """Print a table of the evaluations, one of the held-out splits, and the worst cases of each."""
    from luban.cli.scores import print_table

    evaluations, neighbours = facts["evaluations"], facts["neighbours"]
    if evaluations:
        rows = [
            (name, f"{one['items']:,}", f"{one['leaked']:,}", f"{one['too_short']:,}", _worst(one["worst"]))
            for name, one in evaluations.items()
        ]
        header = ("evaluation", "items", "in the training text", "texts too short to tell", "most of")
        print_table(header, rows)
    if neighbours:
        rows = [
            (
                name,
                f"{one['documents']:,}",
                f"{one['near']:,}",
                f"{one['median']:.2f}",
                _nearest(one["worst"]),
            )
            for name, one in neighbours.items()
        ]
        header = ("held out", "documents", "with a near one in train", "median Jaccard", "nearest")
        print_table(header, rows)


def _worst(rows: list[dict[str, Any]]) -> str:
    return ", ".join(f"{row['items'][0]} ({row['share']:.2f})" for row in rows[:SHOWN])


def _nearest(rows: list[dict[str, Any]]) -> str:
    return ", ".join(f"{row['document']} ~ {row['nearest']} ({row['jaccard']:.2f})" for row in rows[:2])
