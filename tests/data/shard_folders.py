"""Small shards folders whose tokens tell which document they are of."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from luban.data.shard_writer import Origin, ShardWriter
from luban.data.shards import TOKEN_BYTES

VOCAB = 40_000
END = 1


def write_folder(
    folder: Path,
    n_documents: int = 60,
    *,
    seed: int = 0,
    origins: Sequence[tuple[str, str, str]] = (("web", "CC0", "en"),),
    longest: int = 40,
    splits: Sequence[str] = ("train", "validation"),
) -> Path:
    """Document i of a folder has the tokens 10 + 100·seed + i, and as its quality i / n_documents."""
    folder.mkdir(parents=True)
    draw = random.Random(seed)
    for split in splits:
        with ShardWriter(folder, split, VOCAB, columns=("quality",)) as writer:
            for i in range(n_documents):
                tokens = [10 + 100 * seed + i] * draw.randrange(1, longest)
                origin = Origin(*draw.choice(list(origins)), i)
                writer.add(
                    f"{folder.name} {i}", [*tokens, END], len(tokens), origin, {"quality": i / n_documents}
                )
    np.save(folder / TOKEN_BYTES, np.ones(VOCAB))
    (folder / "tokenizer").mkdir()
    (folder / "tokenizer" / "tokenizer.json").write_text("{}")
    return folder
