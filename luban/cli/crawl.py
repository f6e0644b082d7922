"""What `luban data crawl` prints: counts, and the reasons behind them."""

from __future__ import annotations

from pathlib import Path

from luban.cli.scores import print_table
from luban.log import Log
from luban.runner import Result


def print_crawl(result: Result, out: Path, log: Log) -> None:
    """Print what was fetched, skipped and failed, and why."""
    facts = result.manifest.facts
    if log.as_json:
        log.result(
            {"stage": "crawl", "status": result.status, "out": str(out), "counts": facts["counts"]}
            | {"reasons": facts["reasons"]}
        )
        return
    print("  ".join(f"{key} {value:,}" for key, value in facts["counts"].items()))
    rows = [(*name.split(": ", 1), f"{n:,}") for name, n in facts["reasons"].items()]
    print_table(("status", "reason", "addresses"), rows)
