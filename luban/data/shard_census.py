"""What token shards hold: tokens by split, language and source, how long documents are, how much is used."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from luban.data.shards import SPLITS, Shard, open_shard
from luban.data.tallies import Chosen, Spread, Values
from luban.errors import DataError, LubanError
from luban.tokenizer import Tokenizer, load_tokenizer

BLOCK = 4_000_000  # tokens counted at a time
ROWS = 200_000  # documents counted at a time
SAMPLE_TOKENS = 120
SHOWN = 30


def shard_census(folder: Path, n_samples: int) -> dict[str, Any]:
    """Return what one pass over a folder of shards finds."""
    tokenizer, problem = _tokenizer(folder / "tokenizer")
    languages, sources, licences = (Values(cap) for cap in (200, 500, 200))
    spreads: dict[str, Spread] = {}
    counts = np.zeros(0, np.int64)
    samples = Chosen(n_samples)
    for split in SPLITS:
        if not (folder / f"{split}.bin").is_file():
            continue
        shard = open_shard(folder / split)
        if len(counts) < shard.vocab_size:
            counts = np.pad(counts, (0, shard.vocab_size - len(counts)))
        for first in range(0, len(shard.tokens), BLOCK):
            block = np.asarray(shard.tokens[first : first + BLOCK], np.int64)
            counts += np.bincount(block, minlength=len(counts))
        _count_lengths(spreads.setdefault(split, Spread()), shard)
        _count_origins(shard, (languages, sources, licences))
        if tokenizer is not None:
            _choose(samples, split, shard, tokenizer)
    return {
        "tables": {"language": _tokens(languages), "source": _tokens(sources), "licence": _tokens(licences)},
        "lengths": {split: spread.facts() for split, spread in spreads.items()},
        "vocabulary": _vocabulary(counts, tokenizer),
        "samples": samples.facts(),
        "problem": problem,
    }


def _tokenizer(folder: Path) -> tuple[Tokenizer | None, str]:
    """Return the shards' tokenizer; if it cannot be read, say so: the numbers are known without it."""
    try:
        return load_tokenizer(folder), ""
    except LubanError as e:
        return None, f"no texts are shown: {e.problem}"


def _tokens(values: Values) -> dict[str, dict[str, int]]:
    return {name: {"documents": v["documents"], "tokens": v["bytes"]} for name, v in values.facts().items()}


def _count_lengths(spread: Spread, shard: Shard) -> None:
    for first in range(0, len(shard.offsets) - 1, ROWS):
        lengths, times = np.unique(np.diff(shard.offsets[first : first + ROWS + 1]), return_counts=True)
        for length, n in zip(lengths.tolist(), times.tolist(), strict=True):
            spread.add(length, n)


def _count_origins(shard: Shard, tables: tuple[Values, Values, Values]) -> None:
    """Count documents and tokens by language, source and licence, where the shards know them."""
    try:
        rows, origins = shard.rows(), shard.origins()
    except DataError:  # shards of an earlier version do not
        return
    documents, tokens = np.zeros(len(origins), np.int64), np.zeros(len(origins), np.int64)
    for first in range(0, len(rows), ROWS):
        of = rows[first : first + ROWS, 1]
        lengths = np.diff(shard.offsets[first : first + ROWS + 1])
        documents += np.bincount(of, minlength=len(origins))
        tokens += np.bincount(of, weights=lengths, minlength=len(origins)).astype(np.int64)
    languages, sources, licences = tables
    for (source, licence, language), n, size in zip(
        origins, documents.tolist(), tokens.tolist(), strict=True
    ):
        languages.add(language, n, size)
        sources.add(source, n, size)
        licences.add(licence, n, size)


def _choose(samples: Chosen, split: str, shard: Shard, tokenizer: Tokenizer) -> None:
    """Offer documents by a hash of their place, read as text from their tokens."""
    n = len(shard.offsets) - 1
    places = sorted(range(min(n, 64)), key=lambda i: _key(f"{split} {i}"))[: samples.most]
    for i in (place * n // min(n, 64) for place in places):
        begin, end = int(shard.offsets[i]), int(shard.offsets[i + 1])
        ids = shard.tokens[begin : min(end, begin + SAMPLE_TOKENS)].tolist()
        sample = {"id": f"{split} {i}", "tokens": end - begin, "text": tokenizer.decode(ids)}
        samples.add(split, _key(f"{split} {i}"), sample)


def _key(word: str) -> bytes:
    return hashlib.blake2b(word.encode(), digest_size=8).digest()


def _vocabulary(counts: np.ndarray[Any, Any], tokenizer: Tokenizer | None) -> dict[str, Any]:
    order = np.lexsort((np.arange(len(counts)), -counts))
    total = int(counts.sum())
    special = set(tokenizer.special_ids) if tokenizer else set()
    first = [i for i in order[: SHOWN + len(special)].tolist() if i not in special and counts[i]][:SHOWN]
    return {
        "size": len(counts),
        "used": int((counts > 0).sum()),
        "rare": int(((counts > 0) & (counts < 10)).sum()),
        "half": int(np.searchsorted(np.cumsum(counts[order]), total / 2) + 1) if total else 0,
        "top": [[tokenizer.decode([i]) if tokenizer else f"#{i}", int(counts[i])] for i in first],
    }
