"""The same stages on this machine's engine and on a Ray cluster of two workers, some of which are killed.

    python benchmarks/cluster.py CORPUS.jsonl [--kills 3]

Cleans and deduplicates the corpus on both; on the cluster, processes that are working are killed with
SIGKILL as the stage goes on. One JSON line for each stage: seconds on both, kills, and whether documents
and dropped rows are equal, row for row.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from luban.data.documents import read_documents
from luban.files import read_jsonl


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--kills", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="luban-cluster-") as name:
        folder, before = Path(name), given.corpus
        for stage in ("clean", "dedup"):
            seconds = {}
            for engine in ("local", "ray"):
                kills = given.kills if engine == "ray" else 0
                seconds[engine], n_kills = run(stage, before, folder / f"{stage}-{engine}", engine, kills)
            one, other = (list(lines(folder / f"{stage}-{engine}")) for engine in ("local", "ray"))
            print(
                json.dumps(
                    {"stage": stage, **seconds, "kills": n_kills, "equal": one == other, "rows": len(one)}
                )
            )
            before = folder / f"{stage}-local"


def run(stage: str, source: Path, out: Path, engine: str, kills: int) -> tuple[float, int]:
    """Run one stage with two workers; return its seconds and how many processes were killed."""
    sets = [
        part
        for key, value in (("engine", engine), ("workers", 2))
        for part in ("--set", f"{stage}.{key}={value}")
    ]
    command = [sys.executable, "-m", "luban", "data", stage, str(source), "--out", str(out), *sets]
    start, n_killed = time.perf_counter(), 0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    log: list[str] = []
    reader = threading.Thread(target=lambda: log.extend(process.stderr or ()))
    reader.start()
    while process.poll() is None:
        time.sleep(0.3)
        busy = next(working(), None) if n_killed < kills else None
        if busy is not None:
            os.kill(busy, signal.SIGKILL)
            n_killed += 1
            time.sleep(2)
    reader.join()
    if process.returncode:
        raise SystemExit("".join(log)[-2000:])
    return round(time.perf_counter() - start, 1), n_killed


def working() -> Iterator[int]:
    """Yield the cluster's processes that are in the middle of a task."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            title = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if title.startswith(b"ray::") and b"IDLE" not in title and b"Map" in title:
            yield int(folder.name)


def lines(folder: Path) -> Iterator[Any]:
    """Yield the documents of a folder, then what was dropped."""
    yield from read_documents(folder)
    dropped = folder / "dropped.jsonl"
    if dropped.exists():
        yield from read_jsonl(dropped)


if __name__ == "__main__":
    main()
