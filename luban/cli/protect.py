"""What `luban data protect --scan` prints: where personal data is, and never what it is."""

from __future__ import annotations

from pathlib import Path

from luban.errors import ConfigError, DataError


def print_scan(path: Path, as_json: bool) -> None:
    """Print line, column, type and rule of what is found in a text file."""
    from luban.cli.scores import print_table
    from luban.log import Log
    from luban.privacy.pii import find_personal_data

    try:
        text = path.read_text("utf-8", errors="replace")
    except OSError as e:
        raise DataError(f"{path} cannot be read: {e.strerror}", fix="name a text file") from None
    found, line, start = [], 1, 0
    for span in find_personal_data(text):
        line += text.count("\n", start, span.start)
        start = span.start
        column = span.start - (text.rfind("\n", 0, span.start) + 1) + 1
        found.append((line, column, span.end - span.start, span.type, span.rule, span.confidence))
    names = ("line", "column", "characters", "type", "rule", "confidence")
    if as_json:
        rows = [dict(zip(names, row, strict=True)) for row in found]
        Log(as_json=True).result({"found": rows, "counts": {"found": len(rows)}})
    else:
        print_table(names, [tuple(map(str, row)) for row in found])
        print(f"{len(found)} found")


def needs_out(out: Path | None) -> Path:
    """Return the folder, or ask for it."""
    if out is None:
        raise ConfigError(
            "there is no folder to write to", fix="add --out OUT, or --scan to look at one file"
        )
    return out
