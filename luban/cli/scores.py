"""Tables of scores for people, shared by the verbs that score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

MAX_CLASSES = 20
"""Confusion matrices with more classes are not printed; scores.json has them whole."""
WHOLE = 100_000
"""Columns that hold every cell."""


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], title: str | None = None) -> None:
    """Print a table to stdout: the last column is read as text, the others as they are.

    Only on a terminal are lines bound to its width; a program or a file gets every cell whole.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for i, name in enumerate(header):
        table.add_column(name, justify="left" if i in (0, len(header) - 1) else "right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console = Console()
    if not console.is_terminal:
        unbound = console.options.update(max_width=WHOLE)
        console.width = max(console.width, console.measure(table, options=unbound).maximum)
    if title:
        console.print(Text(f"\n{title}", style="bold"))
    console.print(table)


def print_scores(scores: Mapping[str, Any]) -> None:
    """Print the content of scores.json."""
    from luban.evaluate.intervals import interval_text

    rows = [
        (name, f"{s['value']:.4f}", interval_text(s), str(s["n"])) for name, s in scores["metrics"].items()
    ]
    print_table(("score", "value", "interval", "n"), rows)
    if scores.get("chance") is not None:
        print(f"guessing: {scores['chance']:.4f}")
    if (scores.get("groups") or {}).get("scores"):
        _print_groups(scores["groups"])
    if scores.get("robust"):
        _print_robust(scores["robust"])
    if scores.get("domains"):
        _print_domains(scores["domains"])
    if scores.get("per_class"):
        _print_classes(scores["per_class"])
    if scores.get("confusion"):
        _print_confusion(scores["confusion"])
    if scores.get("latency_ms") is not None:
        print(f"\n{scores['latency_ms']:.1f} ms for one text (median); {scores['parameters']:,} parameters")
    print(scores["signature"])


def _print_groups(groups: Mapping[str, Any]) -> None:
    from luban.evaluate.intervals import interval_text

    names = list(next(iter(groups["scores"].values())))
    rows = [
        (name, *(f"{g[m]['value']:.4f}" for m in names), str(g[names[0]]["n"]), interval_text(g[names[0]]))
        for name, g in groups["scores"].items()
    ]
    print_table((groups["by"], *names, "n", f"interval of {names[0]}"), rows, f"by {groups['by']}")


def _print_robust(robust: Mapping[str, Any]) -> None:
    from luban.evaluate.intervals import interval_text

    rows = [
        (
            kind,
            name,
            f"{d['first']:.4f}",
            f"{d['second']:.4f}",
            f"{d['value']:+.4f}",
            f"{found['changed']} of {found['n']}",
            interval_text({**d, "n": found["n"]}),
        )
        for kind, found in robust.items()
        for name, d in found["metrics"].items()
    ]
    print_table(
        ("perturbed", "score", "clean", "perturbed", "change", "rows changed", "interval"), rows, "robustness"
    )


def _print_domains(domains: Mapping[str, Any]) -> None:
    rows = [
        (
            name,
            score,
            f"{d['first']:.4f}",
            f"{d['second']:.4f}",
            f"{d['value']:+.4f}",
            str(found["n"]),
            f"{d['low']:+.4f} to {d['high']:+.4f}",
        )
        for name, found in domains.items()
        for score, d in found["drop"].items()
    ]
    header = ("set", "score", "in domain", "there", "change", "n", "interval of the change")
    print_table(header, rows, "out of domain")


def _print_classes(per_class: Mapping[str, Mapping[str, float]]) -> None:
    rows = [
        (name, f"{s['precision']:.4f}", f"{s['recall']:.4f}", f"{s['f1']:.4f}", f"{s['support']:.0f}")
        for name, s in per_class.items()
    ]
    print_table(("label", "precision", "recall", "f1", "rows"), rows, "by label")


def _print_confusion(confusion: Mapping[str, Any]) -> None:
    labels, counts = confusion["labels"], confusion["counts"]
    if len(labels) > MAX_CLASSES:
        return
    rows = [(name, *map(str, row), "") for name, row in zip(labels, counts, strict=True)]
    print_table(("label \\ predicted", *labels, ""), rows, "confusion")
