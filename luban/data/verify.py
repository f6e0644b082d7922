"""Read every byte of a shards folder and say whether it is what was written."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from luban.data.shard_writer import HEADER_BYTES
from luban.data.shards import SPLITS, open_shard
from luban.errors import DataError
from luban.files import read_json

BLOCK_TOKENS = 8_000_000
AGAIN = "make the shards again, or copy them again from where they are whole"


def verify_shards(folder: Path) -> dict[str, int]:
    """Check every split against its checksums; return the tokens of each.

    Besides the SHA-256 of every file: offsets grow, ids are of the vocabulary, each document has an id.
    """
    splits = [name for name in SPLITS if (folder / f"{name}.json").is_file()]
    if not splits:
        raise DataError(f"{folder} has no token shards", fix="name a folder that `luban data shard` wrote")
    return {name: _verify_split(folder / name) for name in splits}


def _verify_split(prefix: Path) -> int:
    shard, summary = open_shard(prefix), read_json(prefix.with_name(f"{prefix.name}.json"))
    digest, largest = hashlib.sha256(), 0
    for start in range(0, len(shard.tokens), BLOCK_TOKENS):
        block = shard.tokens[start : start + BLOCK_TOKENS]
        digest.update(block.tobytes())
        largest = max(largest, int(block.max()))
    _refuse(digest.hexdigest() != summary["sha256"], shard.beside("bin"), "is not what was written")
    for name, expected in summary.get("files", {}).items():
        _refuse(_digest(shard.beside(name)) != expected, shard.beside(name), "is not what was written")
    place = f"has a token {largest}, the vocabulary {shard.vocab_size}"
    _refuse(largest >= shard.vocab_size, shard.beside("bin"), place)
    _refuse(
        bool((np.diff(shard.offsets) <= 0).any()), shard.beside("offsets.npy"), "has offsets out of order"
    )
    n_ids = len(shard.document_ids())
    what = f"has {n_ids} ids for {summary['n_documents']} documents"
    _refuse(n_ids != summary["n_documents"], shard.beside("ids.txt"), what)
    return len(shard.tokens)


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as f:
            if path.suffix == ".npy":
                f.seek(HEADER_BYTES)
            while block := f.read(1 << 20):
                digest.update(block)
    except FileNotFoundError:
        return "missing"
    return digest.hexdigest()


def _refuse(is_wrong: bool, path: Path, what: str) -> None:
    if is_wrong:
        raise DataError(f"{path} {what}", fix=AGAIN)
