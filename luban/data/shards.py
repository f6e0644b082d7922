"""Documents become memory-mapped token shards: one file of tokens a split, one of document offsets."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from luban.data.documents import read_documents
from luban.data.settings import ShardSettings
from luban.data.shard_writer import Origin, ShardWriter
from luban.errors import CheckpointError, DataError
from luban.files import read_json
from luban.log import Log
from luban.tokenizer import Tokenizer, load_tokenizer

SPLITS = ("train", "validation", "test")
BATCH_CHARS = 1_000_000  # text encoded at once: enough to use every core, little to hold
TOKEN_BYTES = "token_bytes.npy"
Array = np.ndarray[Any, Any]


def shard(settings: ShardSettings, inputs: Mapping[str, Path], out: Path, log: Log) -> dict[str, Any]:
    """Encode every split of `documents` with `tokenizer`, an end token after each document."""
    tokenizer = load_tokenizer(inputs["tokenizer"])
    end = end_id(tokenizer, inputs["tokenizer"])
    per_language: dict[str, Counter[str]] = {"tokens": Counter(), "bytes": Counter()}
    writers: dict[str, ShardWriter] = {}
    n_rows = 0
    with ExitStack() as stack:
        for rows, encoded in _encoded(tokenizer, _groups(read_documents(inputs["documents"]))):
            for row, ids in zip(rows, encoded, strict=True):
                split, n_bytes = row.get("split") or "train", len(row["text"].encode())
                if split not in writers:
                    writer = ShardWriter(out, split, tokenizer.vocab_size, settings.columns)
                    writers[split] = stack.enter_context(writer)
                numbers = _numbers(row, settings.columns, inputs["documents"])
                origin = Origin(row["source"], row["licence"], row["language"], n_rows)
                writers[split].add(str(row["id"]), np.append(ids, end), n_bytes, origin, numbers)
                per_language["tokens"][row["language"]] += len(ids)
                per_language["bytes"][row["language"]] += n_bytes
                n_rows += 1
    _refuse_too_few(writers, settings, inputs["documents"])
    tokenizer.save(out / "tokenizer")
    splits = {name: writers[name].counts for name in SPLITS if name in writers}
    np.save(out / TOKEN_BYTES, _token_bytes(tokenizer, splits))
    for name, counts in splits.items():
        log.say(
            f"  {name}: {counts['tokens']:,} tokens of {counts['documents']:,} documents",
            split=name,
            **counts,
        )
    return {
        "counts": {k: sum(s[k] for s in splits.values()) for k in ("tokens", "documents", "bytes")},
        "splits": splits,
        "bytes_per_token": {
            language: round(per_language["bytes"][language] / n, 4)
            for language, n in sorted(per_language["tokens"].items())
            if n
        },
        "vocab_size": tokenizer.vocab_size,
        "tokenizer": tokenizer.hash,
    }


def end_id(tokenizer: Tokenizer, folder: Path) -> int:
    """Return the id that ends a document: the end token, or an encoder's separator."""
    found = tokenizer.sep_id if tokenizer.eos_id is None else tokenizer.eos_id
    if found is None:
        raise CheckpointError(
            f"the tokenizer in {folder} has no end token, so documents would run into each other",
            fix=f'name one of its tokens as "eos_token" in {folder / "tokenizer_config.json"}',
        )
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Shard:
    """One split, memory-mapped: opening it reads nothing but the summary."""

    tokens: Array
    offsets: Array
    """Where each document begins; the last entry is where the last one ends."""
    n_bytes: int
    vocab_size: int
    token_bytes: Array
    """(V,) bytes of text that each token stands for."""
    prefix: Path

    def document_ids(self) -> list[str]:
        """Return the id of every document, in order."""
        return self.beside("ids.txt").read_text("utf-8").split("\n")[:-1]

    def rows(self) -> Array:
        """Return for every document its row in the documents folder, and its line among `origins`: (n, 2)."""
        path = self.beside("rows.npy")
        if not path.is_file():
            raise DataError(
                f"{self.prefix.parent} does not say where its documents came from",
                fix="make the shards again: earlier versions did not keep it",
            )
        return np.load(path, mmap_mode="r").view(np.ndarray)

    def origins(self) -> list[tuple[str, str, str]]:
        """Return the (source, licence, language) that the second column of `rows` numbers."""
        lines = self.beside("origins.jsonl").read_text("utf-8").split("\n")[:-1]
        return [(source, licence, language) for source, licence, language in map(json.loads, lines)]

    def column(self, name: str) -> Array:
        """Return the number that the shards keep of every document under this name."""
        path = self.beside(f"column-{name}.npy")
        if not path.is_file():
            raise DataError(
                f"{self.prefix.parent} has no column {name} of its documents",
                fix=f"make the shards again with --set shard.columns=[{name}]",
            )
        return np.load(path, mmap_mode="r").view(np.ndarray)

    def beside(self, name: str) -> Path:
        """Return the path of one of the split's files."""
        return self.prefix.with_name(f"{self.prefix.name}.{name}")


def open_shard(prefix: Path) -> Shard:
    """Map the split `FOLDER/SPLIT` that the shard stage wrote."""
    summary_path = prefix.with_name(f"{prefix.name}.json")
    if not summary_path.is_file():
        have = sorted(p.name.removesuffix(".bin") for p in prefix.parent.glob("*.bin"))
        raise DataError(
            f"{prefix.parent} has no {prefix.name} split of token shards",
            fix=f"use one of: {', '.join(have)}" if have else "name a folder that `luban data shard` wrote",
        )
    summary = read_json(summary_path)
    path = prefix.with_name(f"{prefix.name}.bin")
    dtype = np.dtype(summary["dtype"]).newbyteorder("<")
    size, expected = path.stat().st_size if path.is_file() else 0, summary["n_tokens"] * dtype.itemsize
    if size != expected:
        raise DataError(
            f"{path} has {size} bytes, {summary_path.name} says {expected}", fix="make the shards again"
        )
    if not summary["n_tokens"]:
        raise DataError(f"{prefix} holds no tokens", fix="give this split more text, or name another")
    return Shard(
        np.memmap(path, dtype, "r", shape=(summary["n_tokens"],)).view(
            np.ndarray
        ),  # slices of memmap are slow
        _offsets(prefix, summary),
        summary["n_bytes"],
        summary["vocab_size"],
        np.load(prefix.parent / TOKEN_BYTES),
        prefix,
    )


def _offsets(prefix: Path, summary: dict[str, Any]) -> Array:
    path = prefix.with_name(f"{prefix.name}.offsets.npy")
    try:
        offsets: Array = np.load(path, mmap_mode="r").view(np.ndarray)
    except (OSError, ValueError) as e:
        raise DataError(f"{path} cannot be read: {e}", fix="make the shards again") from None
    expected = (0, summary["n_tokens"], summary["n_documents"] + 1)
    found = (offsets[0], offsets[-1], len(offsets)) if len(offsets) else (None, None, 0)
    if found != expected:
        raise DataError(
            f"{path} has {found[2]} offsets from {found[0]} to {found[1]}; by {prefix.name}.json they are "
            f"{expected[2]} from 0 to {expected[1]}",
            fix="make the shards again",
        )
    return offsets


def _numbers(row: dict[str, Any], columns: tuple[str, ...], folder: Path) -> dict[str, float]:
    try:
        return {name: float(row[name]) for name in columns}
    except (KeyError, TypeError, ValueError):
        wrong = next(n for n in columns if not isinstance(row.get(n), (int, float)))
        raise DataError(
            f"{folder}: document {row['id']} has {wrong} = {row.get(wrong)!r}, which is no number",
            fix="leave the column out of shard.columns, or fill it",
        ) from None


def _groups(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    group: list[dict[str, Any]] = []
    chars = 0
    for row in rows:
        group.append(row)
        chars += len(row["text"])
        if chars >= BATCH_CHARS:
            yield group
            group, chars = [], 0
    if group:
        yield group


def _encoded(
    tokenizer: Tokenizer, groups: Iterable[list[dict[str, Any]]]
) -> Iterator[tuple[list[dict[str, Any]], list[Array]]]:
    """Yield groups with the ids of their texts; one is encoded while another is read or written."""
    before: tuple[list[dict[str, Any]], Future[list[Array]]] | None = None
    with ThreadPoolExecutor(1, thread_name_prefix="encoding") as worker:
        for rows in groups:
            coming = worker.submit(tokenizer.encode_arrays, [row["text"] for row in rows])
            if before:
                yield before[0], before[1].result()
            before = rows, coming
        if before:
            yield before[0], before[1].result()


def _refuse_too_few(writers: dict[str, ShardWriter], settings: ShardSettings, documents: Path) -> None:
    n = writers["train"].counts["documents"] if "train" in writers else 0
    if n < settings.min_documents:
        raise DataError(
            f"{documents} has {n} training documents; shard.min_documents asks for {settings.min_documents}",
            fix="give more text, or loosen the cleaning: `dropped.jsonl` says what went and why",
        )


def _token_bytes(tokenizer: Tokenizer, splits: dict[str, dict[str, int]]) -> Array:
    """Return the bytes of text behind each token: exact for byte-level tokenizers, else the mean."""
    spelt = [tokenizer.token_bytes(i) for i in range(tokenizer.vocab_size)]
    n_tokens = sum(s["tokens"] - s["documents"] for s in splits.values())
    mean = sum(s["bytes"] for s in splits.values()) / max(n_tokens, 1)
    sizes = [mean if data is None else len(data) for data in spelt]
    return np.array([0 if i in tokenizer.special_ids else size for i, size in enumerate(sizes)], np.float64)
