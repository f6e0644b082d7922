"""Texts as runs of words that belong together: what word vectors are learned from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from luban.data.documents import read_documents
from luban.data.settings import ReadSettings
from luban.data.sources import Reject, is_page, list_sources, read_sources
from luban.files import Manifest
from luban.tokenizer import Tokenizer

MAX_WORDS = 1000
"""A longer line becomes several passages."""
MAX_CHARS = 1_000_000
"""Text of one file held at a time."""
GROUP_LINES = 10_000
Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Passages:
    """Known words in the order of the text, (N,), and the number of the passage of each, (N,)."""

    words: Array
    numbers: Array

    def hold_out(self, share: float) -> tuple[Passages, Passages]:
        """Return all passages but a share, and that share, spread evenly; at least one is held out."""
        n = int(self.numbers[-1]) + 1 if len(self.numbers) else 0
        held = np.zeros(n, bool)
        if n:
            held[np.linspace(0, n - 1, max(1, round(share * n)), dtype=np.int64)] = True
        is_held = held[self.numbers]
        return self._where(~is_held), self._where(is_held)

    def _where(self, chosen: Array) -> Passages:
        return Passages(self.words[chosen], self.numbers[chosen])


def read_texts(roots: Sequence[Path], reject: Reject) -> Iterator[str]:
    """Yield the texts of raw files and folders, and the training texts of documents folders."""
    for root in roots:
        if root.is_dir() and Manifest.read(root):
            yield from (row["text"] for row in read_documents(root) if row.get("split", "train") == "train")
            continue
        settings = ReadSettings(max_chars=MAX_CHARS)
        for document in read_sources(list_sources([root], settings), reject, settings):
            if is_page(document):
                reject(document.source, None, "a page: `luban data clean` makes text of it")
            else:
                yield document.text


def encode_passages(texts: Iterable[str], tokenizer: Tokenizer) -> Passages:
    """Encode every line as a passage; unknown words are passed over, so that their neighbours meet."""
    lines = (line for text in texts for line in text.splitlines() if line and not line.isspace())
    words, numbers, n = [np.zeros(0, np.int32)], [np.zeros(0, np.int32)], 0
    while group := list(islice(lines, GROUP_LINES)):
        encoded = [np.array(ids, np.int32) for ids in tokenizer.encode_batch(group)]
        encoded = [kept for ids in encoded if len(kept := ids[ids != tokenizer.unk_id])]
        pieces = [ids[i : i + MAX_WORDS] for ids in encoded for i in range(0, len(ids), MAX_WORDS)]
        words += pieces
        lengths = [len(piece) for piece in pieces]
        numbers.append(np.repeat(np.arange(n, n + len(pieces), dtype=np.int32), lengths))
        n += len(pieces)
    return Passages(np.concatenate(words), np.concatenate(numbers))
