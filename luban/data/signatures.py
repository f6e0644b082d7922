"""What deduplication knows of a text: an exact key, the buckets it falls into, a sketch of its n-grams.

Source: Broder, "On the resemblance and containment of documents", 1997; banding as in Leskovec,
Rajaraman and Ullman, "Mining of Massive Datasets", chapter 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luban.data.characters import character_table
from luban.data.engine import ORDER, Table
from luban.data.extras import load_extra
from luban.data.settings import DedupSettings
from luban.native import minhash
from luban.native.minhash import Texts


@dataclass(frozen=True, slots=True, eq=False)
class Signatures:
    """The signatures of some texts."""

    keys: NDArray[np.uint8]
    """(texts, 16): equal for texts that are equal but for letter case and white space."""
    buckets: NDArray[np.int64]
    """(texts, 2 x bands): similar texts are likely to share one."""
    sketches: NDArray[np.uint8]
    """(texts, permutations): a byte of each minimum; similar texts agree in as many as they are similar."""


@dataclass(frozen=True, slots=True)
class Sign:
    """Maps documents to their signatures: columns order, id, key, buckets, sketch."""

    settings: DedupSettings

    def __call__(self, table: Table) -> Table:
        """Return one row for each document that has not been dropped."""
        pa = load_extra("pyarrow")
        table = undropped(table, "id", "text")
        found = sign(arrow_texts(table.column("text"), self.settings), self.settings)
        columns = {
            ORDER: table.column(ORDER),
            "id": table.column("id"),
            "key": _binary(found.keys),
            "buckets": pa.FixedSizeListArray.from_arrays(
                pa.array(found.buckets.reshape(-1)), found.buckets.shape[1]
            ),
            "sketch": _binary(found.sketches),
        }
        return pa.table(columns)


@dataclass(frozen=True, slots=True)
class NgramSets:
    """Maps documents to their n-grams: columns order, ngrams (32-bit numbers, sorted, as bytes)."""

    settings: DedupSettings

    def __call__(self, table: Table) -> Table:
        """Return one row for each document that has not been dropped."""
        pa = load_extra("pyarrow")
        table = undropped(table, "text")
        sets, ends = minhash.ngram_sets(arrow_texts(table.column("text"), self.settings))
        buffers = [
            None,
            pa.py_buffer(np.ascontiguousarray(4 * ends)),
            pa.py_buffer(np.ascontiguousarray(sets)),
        ]
        ngrams = pa.Array.from_buffers(pa.large_binary(), table.num_rows, buffers)
        return pa.table({ORDER: table.column(ORDER), "ngrams": ngrams})


def sign(texts: Texts, settings: DedupSettings) -> Signatures:
    """Return the exact keys, the buckets and the sketches of texts."""
    random = np.random.default_rng(settings.seed)
    n = settings.permutations
    factors = random.integers(1, 1 << 31, n, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    masks = random.integers(0, 1 << 32, n, dtype=np.uint32)
    keys, minima = minhash.sign(texts, masks, factors)
    return Signatures(keys, _buckets(minima, settings.bands), minima.astype(np.uint8))


def pack_texts(texts: Sequence[str], settings: DedupSettings) -> Texts:
    """Lay Python's texts out as the kernels read them."""
    raws = [text.encode("utf-8", "surrogatepass") for text in texts]
    offsets = np.cumsum([0, *map(len, raws)], dtype=np.int64)
    data = np.frombuffer(b"".join(raws) or b"\0", np.uint8)
    return Texts(data, offsets, character_table(), settings.word_ngram, settings.char_ngram)


def arrow_texts(column: Any, settings: DedupSettings) -> Texts:
    """Give the kernels a column of texts where it lies."""
    pa = load_extra("pyarrow")
    array = column.combine_chunks()
    if array.null_count or array.type != pa.large_string():
        array = array.fill_null("").cast(pa.large_string())
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], pa.large_string())
    _, offsets, data = array.buffers()
    if len(array) == 0 or data is None or data.size == 0:
        return pack_texts([""] * len(array), settings)
    places = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
    values = np.frombuffer(data, np.uint8)
    return Texts(values, places, character_table(), settings.word_ngram, settings.char_ngram)


def undropped(table: Table, *names: str) -> Table:
    """Return the order and some columns of the rows that no step has dropped."""
    if "drop" in table.column_names and table.column("drop").null_count < table.num_rows:
        table = table.filter(load_extra("pyarrow.compute").is_null(table.column("drop")))
    return table.select([ORDER, *names])


def _buckets(minima: NDArray[np.uint32], bands: int) -> NDArray[np.int64]:
    """Hash the rows of each band, and the band's number, to one key.

    Each minimum serves in two bands, of neighbours and across: what a pair misses in the one it may have
    in the other, and as all pairs are verified, more candidates cost no precision.
    """
    n, permutations = minima.shape
    rows = permutations // bands
    keys = np.empty((n, 2 * bands), np.uint64)
    keys[:] = np.arange(1, 2 * bands + 1, dtype=np.uint64)
    along, across = minima.reshape(n, bands, rows), minima.reshape(n, rows, bands).transpose(0, 2, 1)
    for row in range(rows):
        both = np.concatenate([along[:, :, row], across[:, :, row]], axis=1)
        keys = (keys ^ both) * np.uint64(0x9E3779B97F4A7C15)
        keys ^= keys >> np.uint64(29)
    return keys.view(np.int64)


def _binary(rows: NDArray[np.uint8]) -> Any:
    pa = load_extra("pyarrow")
    width = rows.shape[1]
    data = pa.py_buffer(np.ascontiguousarray(rows).reshape(-1))
    return pa.Array.from_buffers(pa.binary(width), len(rows), [None, data])
