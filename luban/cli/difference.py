"""How `luban data diff` shows what two folders of documents differ in."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

MAX_ROWS = 15
MAX_CHARS = 60


def show_difference(a: Path, b: Path, samples: int, *, exit_code: bool, as_json: bool) -> None:
    """Compare two folders and print what differs; as a gate, fail if the documents do."""
    from luban.data.diff import diff_folders
    from luban.errors import GateError
    from luban.log import Log

    with tempfile.TemporaryDirectory() as scratch:
        found = diff_folders(a, b, Path(scratch), n_samples=samples)
    if as_json:
        Log(as_json=True).result({"a": str(a), "b": str(b), "same": found.is_empty, **asdict(found)})
    else:
        print_difference(a, b, found)
    if exit_code and not found.is_empty:
        counts = ", ".join(f"{kind} {n:,}" for kind, n in found.counts.items() if kind != "same")
        raise GateError(f"{a} and {b} differ: {counts}", fix="look at the samples, or make one of them again")


def print_difference(a: Path, b: Path, difference: Any) -> None:
    """Print counts, moves, tables side by side, how the folders were made, and samples."""
    from luban.cli.scores import print_table

    print(f"A {a}\nB {b}")
    if difference.is_empty:
        print(f"the same {difference.counts.get('same', 0):,} documents")
    else:
        print_table(
            ("documents", "n", ""), [(k, f"{n:,}", _meaning(k)) for k, n in difference.counts.items()]
        )
    for name, moves in difference.moves.items():
        print_table(("before → after", "documents", ""), [(m, f"{n:,}", "") for m, n in moves.items()], name)
    for name, values in difference.tables.items():
        rows = [(str(v), f"{x:,}", f"{y:,}", f"{y - x:+,}") for v, (x, y) in values.items()]
        print_table((name, "in A", "in B", "B − A"), rows[:MAX_ROWS], "what differs by " + name)
    if difference.settings:
        made = [(name, _plain(x), _plain(y)) for name, (x, y) in difference.settings.items()]
        print_table(("setting", "in A", "in B"), made, "made otherwise")
    shown = set()
    for kind, samples in difference.samples.items():
        for sample in samples:
            if (key := repr(sample)) not in shown:  # one that differs in two ways is of two kinds
                shown.add(key)
                _print_sample(kind, sample)


def _meaning(kind: str) -> str:
    return {
        "same": "id, text and columns are the same",
        "text": "the id is the same, the text another",
        "renamed": "the text is the same, the id another",
        "only in A": "gone",
        "only in B": "new",
    }.get(kind, f"another {kind}")


def _print_sample(kind: str, sample: dict[str, Any]) -> None:
    from luban.report.wording import plain

    others = [f"{k} {v}" for k, v in sample.items() if k not in ("id", "source", "text")]
    text = " ".join(plain(str(sample.get("text", ""))).split())
    print(f"\n{kind}: {sample.get('id')} ({', '.join([str(sample.get('source')), *others])})\n  {text}")


def _plain(value: Any) -> str:
    text = "–" if value is None else str(value)
    return text if len(text) <= MAX_CHARS else f"{text[: MAX_CHARS - 1]}…"
