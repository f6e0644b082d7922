"""Complete lines of files never seen: a model against n-grams with a cache of the file.

    python benchmarks/code_completion.py --model runs/code/model --documents runs/code/split

DOCUMENTS is a folder that `luban data split` wrote: n-grams learn its train split with the model's own
tokens, the share of the cache is chosen on the validation split, and the test split is scored. Bits per byte
are of whole files; the model sees at least half its context before every token it is scored on.
Exact match and edit similarity are of the rest of a line, cut anywhere within. One JSON line.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from pathlib import Path

import pyarrow.parquet as pq
import torch
from torch.nn import functional as F

from luban.evaluate.code_ngrams import Cached, Ngrams
from luban.evaluate.completion import edit_similarity, rest_of_line
from luban.generate.settings import SamplingSettings
from luban.tasks.code_complete import Completer, load_completer

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
Place = tuple[str, str, str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--documents", type=Path, required=True)
    parser.add_argument("--order", type=int, default=6)
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--places", type=int, default=200)
    parser.add_argument("--files", type=int, default=0, help="score so many test files; 0: all")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    started = time.process_time()
    files = {split: read(asked.documents, split) for split in ("train", "validation", "test")}
    if asked.files:
        files["test"] = files["test"][:: max(1, len(files["test"]) // asked.files)]
    completer = load_completer(asked.model)
    encode = completer.tokenizer.encode
    trained = Ngrams(asked.order, completer.tokenizer.vocab_size)
    for text in files["train"]:
        ids = encode(text)
        for at in range(len(ids)):
            trained.add(ids, at)
    valid = [encode(t) for t in files["validation"]]
    share = min(SHARES, key=lambda s: sum(sum(ngram_bits(trained, s, ids)[0]) for ids in valid))
    bits, n_bytes = {"ngrams": 0.0, "model": 0.0, "model_and_cache": 0.0}, 0
    mixed = best_mix(completer, trained, valid, asked.context)
    for text in files["test"]:
        ids, n_bytes = encode(text), n_bytes + len(text.encode())
        by_ngrams, by_cache = ngram_bits(trained, share, ids)
        by_model = model_bits(completer, ids, asked.context)
        bits["ngrams"] += sum(by_ngrams)
        bits["model"] += sum(by_model)
        bits["model_and_cache"] += sum(mix(by_model, by_cache, mixed))
    places = choose_places(files["test"], asked.places, asked.seed)
    wanted = [rest_of_line(suffix) for _, suffix, _ in places]
    stop = SamplingSettings(temperature=0.0, max_new_tokens=24, stop=("\n",))
    found = {
        "ngrams": [complete_by_ngrams(completer, trained, share, prefix) for prefix, _, _ in places],
        "model_prefix": completer.complete([(prefix, "") for prefix, _, _ in places], stop),
        "model_both_sides": completer.complete([(prefix, after) for prefix, _, after in places], stop),
    }
    rests = {k: [(rest_of_line(f), w) for f, w in zip(v, wanted, strict=True)] for k, v in found.items()}
    result = {
        "files": {k: len(v) for k, v in files.items()},
        "bits_per_byte": {k: round(v / n_bytes, 4) for k, v in bits.items()},
        "cache_share": {"ngrams": share, "model": mixed},
        "places": len(places),
        "exact_match": {k: mean([f == w for f, w in pairs]) for k, pairs in rests.items()},
        "edit_similarity": {k: mean([edit_similarity(f, w) for f, w in v]) for k, v in rests.items()},
        "cpu_minutes": round((time.process_time() - started) / 60, 2),
    }
    print(json.dumps(result))


def read(folder: Path, split: str) -> list[str]:
    rows = [r for p in sorted(folder.glob("documents-*.parquet")) for r in pq.read_table(p).to_pylist()]
    return [
        r["text"] for r in sorted(rows, key=lambda r: r["id"]) if r["split"] == split and r["text"].strip()
    ]


def ngram_bits(trained: Ngrams, share: float, ids: list[int]) -> tuple[list[float], list[float]]:
    """Return bits of each token by both, and the cache's own probability of it."""
    model, bits, cached = Cached(trained, share), [], []
    for at, token in enumerate(ids):
        before = ids[max(0, at - trained.order) : at]
        cached.append(model.cache.probability(before, token))
        p = share * cached[-1] + (1 - share) * trained.probability(before, token)
        bits.append(-math.log2(p))
        model.cache.add(ids, at)
    return bits, cached


@torch.no_grad()
def model_bits(completer: Completer, ids: list[int], context: int) -> list[float]:
    """Return bits of each token, half a context or more of the file before it."""
    model, half, bits = completer.model.eval(), context // 2, []
    begin = completer.tokenizer.eos_id or 0
    whole = [begin, *ids]
    for start in range(0, max(1, len(whole) - 1), half):
        part = torch.tensor([whole[start : start + context + 1]])
        logits = model(part[:, :-1])[0].float()
        nats = F.cross_entropy(logits, part[0, 1:], reduction="none").tolist()
        bits += [n / math.log(2) for n in nats[len(bits) - start :]]
        if start + context >= len(whole) - 1:
            break
    return bits


def mix(by_model: list[float], by_cache: list[float], share: float) -> list[float]:
    return [-math.log2((1 - share) * 2**-b + share * p) for b, p in zip(by_model, by_cache, strict=True)]


def best_mix(completer: Completer, trained: Ngrams, files: list[list[int]], context: int) -> float:
    pairs = [(model_bits(completer, ids, context), ngram_bits(trained, 0.5, ids)[1]) for ids in files[:8]]
    return min((0.0, *SHARES), key=lambda s: sum(sum(mix(b, c, s)) for b, c in pairs))


def choose_places(files: list[str], n: int, seed: int) -> list[Place]:
    """Return (before, all after, after the line) of lines cut within, the same number in each file."""
    draw, places = random.Random(seed), []
    for text in files:
        starts = [0]
        for line in text.split("\n"):
            starts.append(starts[-1] + len(line) + 1)
        lines = [
            (s, line) for s, line in zip(starts, text.split("\n"), strict=False) if len(line.strip()) >= 8
        ]
        for start, line in draw.sample(lines, min(len(lines), -(-n // len(files)))):
            indent = len(line) - len(line.lstrip())
            cut = start + draw.randint(indent + 1, len(line.rstrip()) - 3)
            places.append((text[:cut], text[cut:], text[start + len(line) :]))
    return places[:n]


def complete_by_ngrams(completer: Completer, trained: Ngrams, share: float, prefix: str) -> str:
    """Write the rest of a line; the last token of the prefix may be the beginning of a longer one."""
    tokenizer, model = completer.tokenizer, Cached(trained, share)
    ids = tokenizer.encode(prefix)
    for at in range(len(ids)):
        model.cache.add(ids, at)
    last = tokenizer.decode(ids[-1:])
    healed = (
        {t for t in range(tokenizer.vocab_size) if tokenizer.decode([t]).startswith(last)} if last else None
    )
    written = ids[:-1]
    for step in range(24):
        token = model.likeliest(written, healed if step == 0 else None)
        if token is None:
            break
        written = [*written, token]
        text = tokenizer.decode(written[len(ids) - 1 :])[len(last) :]
        if "\n" in text:
            break
    return text


def mean(values: list[float] | list[bool]) -> float:
    return round(sum(values) / max(1, len(values)), 4)


if __name__ == "__main__":
    main()
