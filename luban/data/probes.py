"""Texts to look for, by an inverted index of their n-grams: what does a document share with which?"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luban.data import shingles
from luban.data.shingles import Hashes

Array = NDArray[Any]
_PARTS = ("hashes", "owners", "sizes")


@dataclass(frozen=True, slots=True, eq=False)
class Probes:
    """The distinct n-grams of some texts, sorted, each with the text that it belongs to."""

    hashes: Hashes
    owners: NDArray[np.int32]
    sizes: NDArray[np.int32]
    """Distinct n-grams of each text."""

    def shared(self, hashes: Hashes) -> tuple[Array, Array]:
        """Return the texts that share n-grams with a document, and how many; its own are distinct."""
        first = np.searchsorted(self.hashes, hashes, "left")
        counts = np.searchsorted(self.hashes, hashes, "right") - first
        found = counts > 0
        first, counts = first[found], counts[found]
        n = int(counts.sum())
        places = np.repeat(first - (counts.cumsum() - counts), counts) + np.arange(n)
        return np.unique(self.owners[places], return_counts=True)

    def save(self, folder: Path) -> None:
        """Write the arrays to a folder, from which other processes map them."""
        folder.mkdir(parents=True)
        for part in _PARTS:
            np.save(folder / f"{part}.npy", getattr(self, part))


def hash_ngrams(text: str, word_ngram: int, char_ngram: int) -> Hashes:
    """Return the hashes of a text's n-grams; letters of full width and other variants count as the usual.

    Unicode Standard Annex 15: normalization form KC.
    """
    return shingles.hash_ngrams(unicodedata.normalize("NFKC", text), word_ngram, char_ngram)


def make_probes(texts: Iterable[str], word_ngram: int, char_ngram: int) -> Probes:
    """Index texts by their n-grams; a text of fewer tokens than n is one n-gram."""
    distinct = [np.unique(hash_ngrams(text, word_ngram, char_ngram)) for text in texts]
    sizes = np.array([len(one) for one in distinct], np.int32)
    hashes = np.concatenate([*distinct, np.zeros(0, np.uint32)])
    owners = np.repeat(np.arange(len(distinct), dtype=np.int32), sizes)
    order = np.argsort(hashes, kind="stable")
    return Probes(hashes[order], owners[order], sizes)


@lru_cache(maxsize=8)
def open_probes(folder: Path) -> Probes:
    """Map probes that were saved."""
    maps = (np.load(folder / f"{part}.npy", mmap_mode="r") for part in _PARTS)
    return Probes(*(one.view(np.ndarray) for one in maps))  # slices of memmap are slow


@dataclass(frozen=True, slots=True)
class Look:
    """Looks in every training document of a table for the texts of one or several saved probes."""

    folders: tuple[Path, ...]
    sizes: tuple[tuple[int, int], ...]
    """Words and characters in an n-gram, of each of the probes."""
    least: float
    """Pairs are told from this share on."""
    by_jaccard: bool
    """Of each text the nearest document of the table alone, by Jaccard similarity; else every document
    that holds the share of the text's n-grams."""

    def __call__(self, table: Any) -> Any:
        """Return a row for each pair: probe, text, order and id of the document, share."""
        import pyarrow as pa

        columns = ["text", "order", "id", "drop", *({"split"} & set(table.column_names))]
        found = [
            pair
            for row in table.select(columns).to_pylist()
            if row["drop"] is None and row.get("split", "train") == "train"
            for pair in self._pairs(row)
        ]
        if self.by_jaccard:
            best: dict[tuple[int, int], tuple[int, int, int, str, float]] = {}
            for pair in found:
                key = pair[:2]
                if key not in best or pair[4] > best[key][4]:
                    best[key] = pair
            found = list(best.values())
        names = ("probe", "text", "order", "id", "share")
        types = (pa.int64(), pa.int64(), pa.int64(), pa.string(), pa.float64())
        columns_of = zip(*found, strict=True) if found else ([] for _ in names)
        return pa.table(dict(zip(names, map(pa.array, map(list, columns_of), types), strict=True)))

    def _pairs(self, row: dict[str, Any]) -> Iterator[tuple[int, int, int, str, float]]:
        for number, (folder, size) in enumerate(zip(self.folders, self.sizes, strict=True)):
            probes = open_probes(folder)
            own = np.unique(hash_ngrams(row["text"], *size))
            texts, shared = probes.shared(own)
            sizes = probes.sizes[texts]
            shares = shared / (sizes + len(own) - shared if self.by_jaccard else sizes)
            for i in np.flatnonzero(shares >= self.least):
                yield number, int(texts[i]), row["order"], row["id"], float(shares[i])
