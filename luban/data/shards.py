"""Documents become memory-mapped token shards: one file of tokens a split, one of document offsets."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np

from luban.data.documents import read_documents
from luban.data.settings import ShardSettings
from luban.errors import CheckpointError, DataError
from luban.files import disk_errors, read_json, write_json
from luban.log import Log
from luban.tokenizer import Tokenizer, load_tokenizer

SPLITS = ("train", "validation", "test")
BATCH_CHARS = 1_000_000  # text encoded at once: enough to use every core, little to hold
TOKEN_BYTES = "token_bytes.npy"
_OFFSET = np.dtype("<i8")


def shard(settings: ShardSettings, inputs: Mapping[str, Path], out: Path, log: Log) -> dict[str, Any]:
    """Encode every split of `documents` with `tokenizer`, an end token after each document."""
    tokenizer = load_tokenizer(inputs["tokenizer"])
    end = end_id(tokenizer, inputs["tokenizer"])
    per_language: dict[str, Counter[str]] = {"tokens": Counter(), "bytes": Counter()}
    writers: dict[str, ShardWriter] = {}
    with ExitStack() as stack:
        for rows in _groups(read_documents(inputs["documents"])):
            for row, ids in zip(rows, tokenizer.encode_batch([r["text"] for r in rows]), strict=True):
                split, n_bytes = row.get("split", "train"), len(row["text"].encode())
                if split not in writers:
                    writers[split] = stack.enter_context(ShardWriter(out, split, tokenizer.vocab_size))
                writers[split].add(str(row["id"]), [*ids, end], n_bytes)
                per_language["tokens"][row["language"]] += len(ids)
                per_language["bytes"][row["language"]] += n_bytes
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


class ShardWriter:
    """Streams one split to the disk: tokens, offsets and ids, and a summary when it closes."""

    def __init__(self, folder: Path, split: str, vocab_size: int):
        self._folder, self._split, self._vocab_size = folder, split, vocab_size
        self._dtype = np.dtype("<u2" if vocab_size <= 1 << 16 else "<u4")
        self._digest = hashlib.sha256()
        self._n_tokens = self._n_documents = self._n_bytes = 0

    def __enter__(self) -> ShardWriter:
        with disk_errors(self._folder), ExitStack() as stack:
            self._tokens = stack.enter_context((self._folder / f"{self._split}.bin").open("wb"))
            self._offsets = stack.enter_context((self._folder / f"{self._split}.offsets.npy").open("wb"))
            self._ids = stack.enter_context(
                (self._folder / f"{self._split}.ids.txt").open("w", encoding="utf-8")
            )
            _write_header(self._offsets, 0)
            self._offsets.write(np.zeros(1, _OFFSET).tobytes())
            self._files = stack.pop_all()
        return self

    def add(self, id: str, tokens: list[int], n_bytes: int) -> None:
        """Append one document, its end token included."""
        data = np.asarray(tokens, self._dtype).tobytes()
        self._tokens.write(data)
        self._digest.update(data)
        self._n_tokens += len(tokens)
        self._n_documents += 1
        self._n_bytes += n_bytes
        self._offsets.write(self._n_tokens.to_bytes(8, "little"))
        self._ids.write(" ".join(id.splitlines()) + "\n")

    @property
    def counts(self) -> dict[str, int]:
        """What was written so far."""
        return {"tokens": self._n_tokens, "documents": self._n_documents, "bytes": self._n_bytes}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._files:
            if error is None:
                self._offsets.seek(0)
                _write_header(self._offsets, self._n_documents + 1)
        if error is None:
            summary = {
                "dtype": self._dtype.name,
                "n_tokens": self._n_tokens,
                "n_documents": self._n_documents,
                "n_bytes": self._n_bytes,
                "sha256": self._digest.hexdigest(),
                "vocab_size": self._vocab_size,
            }
            write_json(self._folder / f"{self._split}.json", summary)


@dataclass(frozen=True, slots=True, eq=False)
class Shard:
    """One split, memory-mapped: opening it reads nothing but the summary."""

    tokens: np.ndarray[Any, Any]
    offsets: np.ndarray[Any, Any]
    """Where each document begins; the last entry is where the last one ends."""
    n_bytes: int
    vocab_size: int
    token_bytes: np.ndarray[Any, Any]
    """(V,) bytes of text that each token stands for."""
    prefix: Path

    def document_ids(self) -> list[str]:
        """Return the id of every document, in order."""
        return self.prefix.with_name(f"{self.prefix.name}.ids.txt").read_text("utf-8").split("\n")[:-1]


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
    return Shard(
        np.memmap(path, dtype, "r", shape=(summary["n_tokens"],)).view(
            np.ndarray
        ),  # slices of memmap are slow
        np.load(prefix.with_name(f"{prefix.name}.offsets.npy"), mmap_mode="r").view(np.ndarray),
        summary["n_bytes"],
        summary["vocab_size"],
        np.load(prefix.parent / TOKEN_BYTES),
        prefix,
    )


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


def _refuse_too_few(writers: dict[str, ShardWriter], settings: ShardSettings, documents: Path) -> None:
    n = writers["train"].counts["documents"] if "train" in writers else 0
    if n < settings.min_documents:
        raise DataError(
            f"{documents} has {n} training documents; shard.min_documents asks for {settings.min_documents}",
            fix="give more text, or loosen the cleaning: `dropped.jsonl` says what went and why",
        )


def _token_bytes(tokenizer: Tokenizer, splits: dict[str, dict[str, int]]) -> np.ndarray[Any, Any]:
    """Return the bytes of text behind each token: exact for byte-level tokenizers, else the mean."""
    spelt = [tokenizer.token_bytes(i) for i in range(tokenizer.vocab_size)]
    n_tokens = sum(s["tokens"] - s["documents"] for s in splits.values())
    mean = sum(s["bytes"] for s in splits.values()) / max(n_tokens, 1)
    sizes = [mean if data is None else len(data) for data in spelt]
    return np.array([0 if i in tokenizer.special_ids else size for i, size in enumerate(sizes)], np.float64)


def _write_header(file: IO[bytes], n: int) -> None:
    """Write the .npy header of n offsets, always 128 bytes long, so that it can be mended at the end."""
    text = f"{{'descr': '{_OFFSET.str}', 'fortran_order': False, 'shape': ({n},), }}"
    file.write(b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + text.ljust(117).encode() + b"\n")
