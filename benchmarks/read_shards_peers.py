"""Windows of 2,048 tokens in batches of 16 from shards on disk: ours beside litdata, in turns.

    python benchmarks/read_shards_peers.py --peer ENV/bin/python

ENV has litdata. Each side is one process. Ours gives tokens, documents and targets as int64; litdata gives
uint16 windows ("as it is"), and inputs and targets as int64 ("int64"), without documents. Pages are cached:
every side reads a block before it counts. `resume_ms`: open, and first batch at a step far in. One JSON
line a side; rates are medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from luban.data.batches import PackedWindows
from luban.data.mixture import MixedWindows
from luban.data.mixture_settings import MixtureSettings
from luban.data.shard_writer import Origin, ShardWriter
from luban.data.shards import TOKEN_BYTES

CONTEXT, BATCH, VOCAB = 2048, 16, 32_000
SIZES = {"context": CONTEXT, "batch_size": BATCH, "seed": 1}
FAR = 100_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--peer", help="interpreter with litdata")
    parser.add_argument("--tokens", type=int, default=50_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--block", type=int, default=400, help="batches a turn")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        serve(Path(asked.serve[0]), asked.serve[1])
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder / "shards", asked.tokens)
        sides = {
            kind: start([sys.executable, __file__, "--serve", str(folder / "shards"), kind]) for kind in WAYS
        }
        if asked.peer:
            peer = [asked.peer, str(Path(__file__).parent / "peers" / "litdata_side.py")]
            what = [str(folder / "shards" / "train.bin"), str(folder / "litdata"), str(CONTEXT), str(BATCH)]
            sides["litdata"] = start([*peer, *what])
        for row in measure(sides, asked.rounds, asked.block):
            print(json.dumps(row))
        for side in sides.values():
            side.stdin.close()
            side.wait()


def write(folder: Path, n_tokens: int) -> None:
    """Documents of lengths like those of web pages, in two languages."""
    folder.mkdir()
    draw, n, i = np.random.default_rng(1), 0, 0
    with ShardWriter(folder, "train", VOCAB) as writer:
        while n < n_tokens:
            tokens = draw.integers(5, VOCAB, int(draw.lognormal(6.2, 1)) + 2)
            tokens[-1] = 1
            language = "zh" if i // 200 % 3 == 0 else "en"
            writer.add(f"d{i}", tokens, 4 * len(tokens), Origin("web", "CC0", language, i))
            n, i = n + len(tokens), i + 1
    np.save(folder / TOKEN_BYTES, np.ones(VOCAB))
    (folder / "tokenizer").mkdir()
    (folder / "tokenizer" / "tokenizer.json").write_text("{}")


def packed(folder: Path) -> Any:
    return PackedWindows(folder / "train", **SIZES)


def mixed(folder: Path) -> Any:
    mixture = MixtureSettings(by="language", weights={"en": 1, "zh": 1})
    return MixedWindows([folder], "train", mixture, **SIZES)


WAYS = {"luban": packed, "luban mixed by language": mixed}


def serve(folder: Path, way: str) -> None:
    """Answer "as_it_is N" with the time that N batches took, and "resume N" with that of a fresh start."""
    windows, step = WAYS[way](folder), 0
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        kind, n_batches = line.split()
        wall, cpu = time.perf_counter(), time.process_time()
        if kind == "resume":
            WAYS[way](folder).at(FAR + step)
        else:
            for _ in range(int(n_batches)):
                step += 1
                windows.at(step)
        said = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "type": "torch.int64"}
        print(json.dumps(said), flush=True)


def start(command: list[str]) -> subprocess.Popen[str]:
    side = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    hear(side)
    return side


def hear(side: subprocess.Popen[str]) -> dict[str, Any]:
    """Return the next line of JSON; what else a library prints is its own affair."""
    assert side.stdout is not None
    for line in side.stdout:
        if line.startswith("{"):
            return dict(json.loads(line))
    raise SystemExit(f"{side.args} ended")


def ask(side: subprocess.Popen[str], kind: str, n: int) -> dict[str, Any]:
    assert side.stdin is not None
    side.stdin.write(f"{kind} {n}\n")
    side.stdin.flush()
    return hear(side)


def measure(sides: dict[str, subprocess.Popen[str]], rounds: int, block: int) -> list[dict[str, Any]]:
    turns = [(name, "as_it_is") for name in sides] + [(n, "int64") for n in sides if n == "litdata"]
    found: dict[tuple[str, str], list[dict[str, Any]]] = {turn: [] for turn in turns}
    for turn in range(rounds + 1):
        for name, kind in turns if turn % 2 else turns[::-1]:
            said = ask(sides[name], kind, block)
            if turn:
                found[name, kind].append(said)
    rows = []
    for (name, kind), said in found.items():
        n = block * BATCH * CONTEXT / 1e6
        resumed = [1e3 * ask(sides[name], "resume", 0)["wall"] for _ in range(7)]
        rows.append(
            {
                "side": name if name != "litdata" else f"litdata, {kind.replace('_', ' ')}",
                "type": said[0]["type"],
                "million_tokens_per_second": round(statistics.median(n / s["wall"] for s in said), 1),
                "million_tokens_per_cpu_second": round(statistics.median(n / s["cpu"] for s in said), 1),
                "resume_ms": round(statistics.median(resumed), 2),
            }
        )
    return rows


if __name__ == "__main__":
    main()
