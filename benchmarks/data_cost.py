"""What each stage of the data costs, and what that makes of a terabyte.

Runs collect, clean, protect, dedup, split and shard on a small and a larger part of a corpus, each in a
process of its own with one worker; the slope is what a megabyte costs. Then the table: core-hours, bytes
shuffled, bytes on the driver, for corpora up to 100 TB.

    python benchmarks/data_cost.py CORPUS.jsonl [--megabytes 60]

CORPUS.jsonl has rows with `text`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

STAGES = ("collect", "clean", "protect", "dedup", "split", "shard")
SIZES_TB = (0.001, 0.01, 0.1, 1, 10, 100)
SMALL_MEGABYTES = 4
SHUFFLE = "LUBAN_SHUFFLE_BYTES"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--megabytes", type=int, default=60)
    parser.add_argument("--stages", nargs="*", default=list(STAGES))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="luban-cost-") as folder:
        small = measure(given.corpus, Path(folder) / "small", SMALL_MEGABYTES, given.stages)
        large = measure(given.corpus, Path(folder) / "large", given.megabytes, given.stages)
    costs = {}
    for name in large:
        megabytes = (large[name]["bytes_in"] - small[name]["bytes_in"]) / 1e6
        documents = large[name]["documents_in"] - small[name]["documents_in"]
        costs[name] = {
            "cpu_seconds_per_mb": round((large[name]["cpu"] - small[name]["cpu"]) / megabytes, 4),
            "shuffled_per_byte": round(
                (large[name]["shuffled"] - small[name]["shuffled"]) / megabytes / 1e6, 4
            ),
            "written_per_byte": round(large[name]["written"] / large[name]["bytes_in"], 4),
            "bytes_per_document": round(megabytes * 1e6 / documents),
            "peak_mb": large[name]["peak_mb"],
        }
        print(json.dumps({"stage": name, **costs[name]}), flush=True)
    print_table(costs)


def measure(corpus: Path, folder: Path, megabytes: int, stages: Sequence[str]) -> dict[str, dict[str, float]]:
    """Run the stages one after the other on the corpus's first megabytes."""
    folder.mkdir()
    part = folder / "raw.jsonl"
    with corpus.open("rb") as source, part.open("wb") as target:
        for line in source:
            target.write(line)
            if target.tell() >= megabytes * 1_000_000:
                break
    found = {}
    before = str(part)
    for name in stages:
        out = folder / name
        more = ["--tokenizer", str(tokenizer(before, folder))] if name == "shard" else []
        workers = [] if name in ("split", "shard") else ["--set", f"{name}.workers=1"]
        found[name] = run([name, before, "--out", str(out), *more, *workers], folder)
        counts = json.loads((out / "manifest.json").read_text())["counts"]
        found[name]["bytes_in"] = counts.get("bytes_in", counts.get("bytes", 0))
        found[name]["documents_in"] = counts.get("documents_in", counts.get("documents", 0))
        found[name]["written"] = sum(p.stat().st_size for p in out.rglob("*") if p.is_file())
        before = str(out)
    return found


def tokenizer(documents: str, folder: Path) -> Path:
    """Train a small tokenizer: what it costs is not counted."""
    out = folder / "tokenizer"
    command = ["tokenizer", "train", documents, "--out", str(out), "--set", "tokenizer.vocab_size=8000"]
    _wait([sys.executable, "-m", "luban", *command], folder)
    return out


def run(arguments: list[str], folder: Path) -> dict[str, float]:
    """Run `luban data ...` with a count of the bytes it shuffles; return CPU seconds and peak memory."""
    count = folder / "shuffled.txt"
    count.write_text("0")
    cpu, peak = _wait([sys.executable, __file__, "--run", str(count), *arguments], folder)
    return {"cpu": cpu, "peak_mb": peak, "shuffled": float(count.read_text())}


def _wait(command: list[str], folder: Path) -> tuple[float, float]:
    with (folder / "log.txt").open("ab") as log:
        pid = os.posix_spawn(
            command[0],
            command,
            os.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, log.fileno(), n) for n in (1, 2)],
        )
    _, status, usage = os.wait4(pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed:\n{(folder / 'log.txt').read_text()[-2000:]}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000


def run_counted(count: Path, arguments: list[str]) -> None:
    """In the child: count the tables that go through the shuffle."""
    from luban.cli.main import main as luban
    from luban.data import local_engine

    sort = local_engine._sorted

    def counted(tables: Iterator[object], key: str, scratch: Path) -> Iterator[object]:
        def passing() -> Iterator[object]:
            for table in tables:
                count.write_text(str(float(count.read_text()) + table.nbytes))
                yield table

        return sort(passing(), key, scratch)

    local_engine._sorted = counted
    sys.argv = ["luban", "data", *arguments]
    luban()


def print_table(costs: dict[str, dict[str, float]]) -> None:
    """Print what the slopes make of larger corpora."""
    columns = f"{'corpus':>10} {'documents':>12} {'core-hours':>12} {'shuffled':>10} {'driver':>10}"
    print(f"{columns}  by stage, core-hours")
    document = next(iter(costs.values()))["bytes_per_document"]
    for size in SIZES_TB:
        megabytes = size * 1e6
        hours = {name: megabytes * cost["cpu_seconds_per_mb"] / 3600 for name, cost in costs.items()}
        shuffled = sum(size * cost["shuffled_per_byte"] for cost in costs.values())
        documents = size * 1e12 / document
        stages = " ".join(f"{name} {value:,.1f}" for name, value in hours.items())
        driver = documents * DRIVER_BYTES / 1e9
        print(
            f"{size * 1000:>7,.0f} GB {documents:>12,.0f} {sum(hours.values()):>12,.1f} "
            f"{shuffled * 1000:>7,.1f} GB {driver:>7,.1f} GB  {stages}"
        )


DRIVER_BYTES = 8 + 120
"""Of each document on the driver: its place in memory, and its sketch in a file that is mapped."""

if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        run_counted(Path(sys.argv[2]), sys.argv[3:])
    else:
        main()
