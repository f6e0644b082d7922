"""Byte-level BPE encoding with 32k tokens: ours in bulk beside `tokenizers`, on one thread, in turns.

    python benchmarks/tokenise_peers.py --english ENGLISH.jsonl.gz ... --chinese CHINESE.jsonl.gz ...

Each language's tokenizer is trained on its own files (txt or jsonl with `text`, plain or .gz) and encodes
them again, A B A B, in CPU time; the ids must be the same, text by text. `getting_ready_s`: what the first
batch pays. `threads`: MB per second of wall time. One JSON line a language, and one for each hostile text.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("RAYON_NUM_THREADS", "1")

import numpy as np

from luban.tokenizer import Tokenizer
from luban.tokenizer.bulk import BULK_CHARS
from luban.tokenizer.train import train_bpe

VOCAB, CHARS = 32_000, 8_000
MILLION = 1_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--english", type=Path, nargs="+", default=[])
    parser.add_argument("--chinese", type=Path, nargs="+", default=[])
    parser.add_argument("--megabytes", type=float, default=12.0, help="encode at most so much of a language")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    tokenizer = None
    for language, paths in (("english", asked.english), ("chinese", asked.chinese)):
        if paths:
            texts = [text for path in paths for text in read(path)]
            tokenizer = train_bpe(texts, VOCAB, template=False)
            print(json.dumps({"language": language} | measure(tokenizer, texts, asked)), flush=True)
    if tokenizer:
        for name, text in hostile().items():
            print(json.dumps({"hostile": name} | bounded(tokenizer, text)), flush=True)


def read(path: Path) -> list[str]:
    """Rows of a jsonl file, or a text file in pieces."""
    with (
        gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as f
    ):
        if ".jsonl" in path.name:
            return [json.loads(line)["text"] for line in f]
        text = f.read()
    return [text[i : i + CHARS] for i in range(0, len(text), CHARS)]


def measure(tokenizer: Tokenizer, texts: list[str], asked: Any) -> dict[str, Any]:
    texts = up_to(texts, asked.megabytes * 1e6)
    size = sum(len(text.encode()) for text in texts) / 1e6
    ready = seconds(lambda: tokenizer.encode_arrays(["a" * BULK_CHARS]))[0]
    ways: dict[str, Callable[[], Any]] = {
        "tokenizers": lambda: tokenizer._backend.encode_batch_fast(texts, add_special_tokens=False),
        "encode_batch": lambda: tokenizer.encode_batch(texts),
        "encode_arrays": lambda: tokenizer.encode_arrays(texts),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    found: dict[str, Any] = {}
    for _ in range(asked.rounds):
        for name, work in ways.items():
            spent, found[name] = seconds(work)
            rates[name].append(size / spent)
    same = [e.ids for e in found["tokenizers"]] == found["encode_batch"]
    same &= all(
        np.array_equal(a, b) for a, b in zip(found["encode_arrays"], found["encode_batch"], strict=True)
    )
    median = {name: statistics.median(its) for name, its in rates.items()}
    return {
        "megabytes": round(size, 1),
        "documents": len(texts),
        "bytes_per_token": round(size * 1e6 / sum(map(len, found["encode_batch"])), 2),
        "identical": bool(same),
        "mb_per_cpu_second": {name: round(rate, 2) for name, rate in median.items()},
        "times_tokenizers": {n: round(median[n] / median["tokenizers"], 2) for n in list(ways)[1:]},
        "getting_ready_s": round(ready, 2),
        "threads": threads(tokenizer, texts, size),
    }


def threads(tokenizer: Tokenizer, texts: list[str], size: float) -> dict[str, float]:
    """Return MB per second of wall time by number of threads."""
    rates = {}
    for n in sorted({1, len(os.sched_getaffinity(0))}):
        os.environ["RAYON_NUM_THREADS"] = str(n)
        start = time.perf_counter()
        tokenizer.encode_arrays(texts)
        rates[str(n)] = round(size / (time.perf_counter() - start), 2)
    os.environ["RAYON_NUM_THREADS"] = "1"
    return rates


def up_to(texts: list[str], n_bytes: float) -> list[str]:
    kept, size = [], 0
    for text in texts:
        kept.append(text)
        size += len(text.encode())
        if size >= n_bytes:
            break
    return kept


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    found = work()
    return time.process_time() - start, found


def hostile() -> dict[str, str]:
    draw = random.Random(1)
    return {
        "one letter": "a" * MILLION,
        "spaces": " " * MILLION,
        "spaces, then a word": " " * MILLION + "x",
        "one character": "好" * MILLION,
        "random bytes as text": draw.randbytes(MILLION).decode("latin-1"),
        "random letters": "".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=MILLION)),
    }


def bounded(tokenizer: Tokenizer, text: str) -> dict[str, Any]:
    ours, ids = seconds(lambda: tokenizer.encode_batch([text])[0])
    theirs, expected = seconds(lambda: tokenizer.encode(text))
    return {"seconds": round(ours, 2), "tokenizers_seconds": round(theirs, 2), "identical": ids == expected}


if __name__ == "__main__":
    main()
