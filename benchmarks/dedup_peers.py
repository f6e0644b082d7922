"""Exact and near deduplication beside peers, on real text of this machine with planted copies.

    python benchmarks/dedup_peers.py --source /usr/share/doc --source /usr/share/man --megabytes 60 \\
        --peer rensa=ENV/bin/python --peer daft=ENV/bin/python
    python benchmarks/dedup_peers.py --language zh --source pretrain_zh/ --megabytes 30 ...

Five-grams of words (of characters in Chinese), 112 permutations, 14 bands of 8 rows, all sides alike. Ours is
the command `luban data dedup`, from reading Parquet to writing it; the peers stop at the list of what goes.
The sides run in turns. A planted pair counts as found if not both of it stay. Precision is the share of
what goes that is so similar to the document it is said to repeat. CPU seconds, and memory (proportional set
size, sampled ten times a second), are those of the process and its children. One JSON line a side and round.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from peers.near_corpus import PLANTED, jaccard, make_corpus

from luban.data.documents import read_documents
from luban.files import read_jsonl

HERE = Path(__file__).parent
SETTINGS = {"word_ngram": 5, "char_ngram": 5, "permutations": 112, "bands": 14, "threshold": 0.8}
BINS = ((0.0, 0.5), (0.5, 0.6), (0.6, 0.7), (0.7, 0.8), (0.8, 0.9), (0.9, 1.01))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", type=Path, action="append", default=[], help="file or folder of texts")
    parser.add_argument("--corpus", type=Path, help="folder made before; made there if it is not")
    parser.add_argument("--megabytes", type=float, default=244)
    parser.add_argument("--language", choices=("en", "zh"), default="en")
    parser.add_argument("--peer", action="append", default=[], help="NAME=interpreter, of rensa and daft")
    parser.add_argument(
        "--set", action="append", default=[], help="KEY=VALUE for ours, beside the common ones"
    )
    parser.add_argument("--ours", default=sys.executable, help="interpreter for our side")
    parser.add_argument("--rounds", type=int, default=2)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        corpus = asked.corpus or Path(name) / "corpus"
        if not (corpus / PLANTED).exists():
            make_corpus(corpus, asked.source, asked.megabytes, chinese=asked.language == "zh")
        truth = Truth(corpus, chinese=asked.language == "zh")
        peers = dict(peer.split("=", 1) for peer in asked.peer)
        for turn in range(asked.rounds):
            out = Path(name) / f"ours-{turn}"
            report("luban", truth, run([asked.ours, *ours(corpus, out, asked.set)]), gone_of(out))
            for peer, interpreter in peers.items():
                found = Path(name) / f"{peer}.json"
                side = [interpreter, str(HERE / "peers" / f"{peer}_side.py"), str(corpus), str(found)]
                cost = run([*side, asked.language])
                report(peer, truth, cost, json.loads(found.read_text()))


class Truth:
    """What is true of a corpus: its size, its texts, and which documents were planted."""

    def __init__(self, corpus: Path, *, chinese: bool):
        self.texts = {row["id"]: row["text"] for row in read_documents(corpus)}
        self.megabytes = sum(len(text.encode()) for text in self.texts.values()) / 1e6
        self.planted = [json.loads(line) for line in (corpus / PLANTED).read_text().splitlines()]
        self.chinese = chinese

    def recall(self, gone: dict[str, str]) -> dict[str, float]:
        """Return the share of planted pairs of which one goes, by similarity."""
        found = {}
        for low, high in (*BINS, (0.8, 1.01)):
            pairs = [(a, b) for a, b, similar in self.planted if low <= similar < high]
            hits = sum(a in gone or b in gone for a, b in pairs)
            found[f"{low}-{min(high, 1.0)}"] = round(hits / max(1, len(pairs)), 4)
        return found

    def precision(self, gone: dict[str, str]) -> dict[str, float]:
        """Return the share of those that go that are so similar to their original (of 2,000 of them)."""
        some = sorted(gone.items())[:: max(1, len(gone) // 2000)]
        found = [jaccard(self.texts[a], self.texts[b], chinese=self.chinese) for a, b in some]
        return {str(at): round(sum(j >= at for j in found) / max(1, len(found)), 4) for at in (0.5, 0.7, 0.8)}


def ours(corpus: Path, out: Path, more: list[str]) -> list[str]:
    sets = [f"dedup.{key}={value}" for key, value in SETTINGS.items()] + [f"dedup.{one}" for one in more]
    command = ["-m", "luban", "data", "dedup", str(corpus), "--out", str(out), "--json"]
    return command + [word for one in sets for word in ("--set", one)]


def gone_of(out: Path) -> dict[str, str]:
    return {row["id"]: row["duplicate_of"] for row in read_jsonl(out / "dropped.jsonl")}


def run(command: list[str]) -> dict[str, Any]:
    environment = {**os.environ, "DO_NOT_TRACK": "1", "PYTHONPATH": str(HERE.parent)}
    begin = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, env=environment, stdout=said, stderr=said)
        peak = 0.0
        while True:
            pid, status, used = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            peak = max(peak, memory(process.pid))
            time.sleep(0.1)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise SystemExit(f"{command[:4]} failed: {said.read()[-2000:]}")
    return {
        "wall_seconds": round(time.perf_counter() - begin, 2),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 2),
        "peak_mb": round(peak),
    }


def memory(root: int) -> float:
    """Return the proportional set size of a process and its descendants, in megabytes."""
    total, waiting = 0, [root]
    while waiting:
        folder = Path(f"/proc/{waiting.pop()}")
        try:
            lines = (folder / "smaps_rollup").read_text().splitlines()
            total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
            for children in folder.glob("task/*/children"):
                waiting += map(int, children.read_text().split())
        except (OSError, StopIteration):  # it has ended meanwhile
            continue
    return total / 1000


def report(side: str, truth: Truth, cost: dict[str, Any], gone: dict[str, str]) -> None:
    rates = {
        "mb_per_second": round(truth.megabytes / cost["wall_seconds"], 1),
        "mb_per_cpu_second": round(truth.megabytes / cost["cpu_seconds"], 1),
    }
    scores = {"recall": truth.recall(gone), "precision": truth.precision(gone)}
    print(json.dumps({"side": side, **rates, **cost, "gone": len(gone), **scores}), flush=True)


if __name__ == "__main__":
    main()
