"""Show that memory stays flat while `luban data collect` reads one large file.

Real text is repeated, each row with a change, into JSON lines of the size asked for; a child process
collects them, and the resident memory of it and its workers is watched.

    python benchmarks/collect_memory.py TEXTS.jsonl [...] --megabytes 2000
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LIMIT_MB = 500
EVERY_SECONDS = 0.05


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("texts", type=Path, nargs="+", help="JSON lines with a field `text`; .gz too")
    parser.add_argument("--megabytes", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where the file and the documents go for a while")
    parser.add_argument("--gzip", action="store_true", help="read it packed, which cannot be cut")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        raw = folder / ("raw.jsonl.gz" if options.gzip else "raw.jsonl")
        n_rows, n_bytes = generate(read_texts(options.texts), raw, options.megabytes * 10**6)
        small = folder / "small.jsonl"
        generate(read_texts(options.texts), small, 5 * 10**6)
        base = watch(small, folder / "base", options.workers)
        large = watch(raw, folder / "out", options.workers)
    growth = large["peak_mb"] - base["peak_mb"]
    print(json.dumps({"megabytes": n_bytes / 1e6, "rows": n_rows, "workers": options.workers, **large}))
    print(f"peak for 5 MB: {base['peak_mb']:.0f} MB; for {n_bytes / 1e6:.0f} MB: {large['peak_mb']:.0f} MB")
    print(f"growth {growth:.0f} MB, at most {LIMIT_MB}: {'holds' if growth <= LIMIT_MB else 'FAILS'}")
    rate, cpu = n_bytes / 1e6 / large["seconds"], n_bytes / 1e6 / large["cpu_seconds"]
    print(f"{rate:.1f} MB/s, {cpu:.1f} MB per CPU-second, writing included")
    kept_all = large["documents"] == n_rows
    print(f"{large['documents']} documents of {n_rows} rows: {'none lost' if kept_all else 'SOME LOST'}")
    return 0 if kept_all and growth <= LIMIT_MB else 1


def read_texts(paths: list[Path]) -> list[str]:
    texts = []
    for path in paths:
        packed = path.suffix == ".gz"
        with gzip.open(path, "rt", encoding="utf-8") if packed else path.open(encoding="utf-8") as f:
            texts += [json.loads(line)["text"] for line in f]
    return texts


def generate(texts: list[str], path: Path, size: int) -> tuple[int, int]:
    """Write rows until they are `size` bytes, each text with its number and some of its words changed."""
    draw = random.Random(1)
    n_rows = n_bytes = 0
    with gzip.open(path, "wb", compresslevel=1) if path.suffix == ".gz" else path.open("wb") as f:
        while n_bytes < size:
            text = draw.choice(texts)
            cut = draw.randrange(len(text) + 1)
            row = {"text": f"{text[:cut]} {n_rows} {text[cut:]}", "url": f"https://example.org/{n_rows}"}
            line = json.dumps(row, ensure_ascii=False).encode() + b"\n"
            f.write(line)
            n_rows, n_bytes = n_rows + 1, n_bytes + len(line)
    return n_rows, n_bytes


def watch(raw: Path, out: Path, workers: int) -> dict[str, float]:
    """Collect a file in a child process; return its peak memory, times and documents."""
    command = [sys.executable, "-m", "luban", "data", "collect", str(raw), "--out", str(out), "--json"]
    before = os.times()
    start = time.monotonic()
    child = subprocess.Popen(
        [*command, f"--set=collect.workers={workers}"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    peak = 0
    while child.poll() is None:
        peak = max(peak, resident_bytes(child.pid))
        time.sleep(EVERY_SECONDS)
    seconds = time.monotonic() - start
    after = os.times()
    lines = child.stdout.read().decode().splitlines() if child.stdout else []
    if child.returncode:
        raise SystemExit(f"collect ended with {child.returncode}")
    documents = json.loads(lines[-1])["counts"]["documents_kept"]
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return {"peak_mb": peak / 1e6, "seconds": seconds, "cpu_seconds": cpu, "documents": documents}


def resident_bytes(pid: int) -> int:
    """Return the memory of a process and its descendants, pages that they share counted once (Linux)."""
    total = 0
    waiting = [pid]
    while waiting:
        one = waiting.pop()
        try:
            rollup = Path(f"/proc/{one}/smaps_rollup").read_text()
            children = "".join(p.read_text() for p in Path(f"/proc/{one}/task").glob("*/children"))
        except OSError:
            continue  # it has just ended
        total += next(
            (int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:")), 0
        )
        waiting += map(int, children.split())
    return total


if __name__ == "__main__":
    sys.exit(main())
