"""Remove long spans of text that earlier documents have too.

Fingerprints by winnowing find where two documents may share a span, and bytes are compared from there to
both sides. A suffix array would find the same, but needs a whole corpus in memory and in one place; a few
fingerprints a document can be sorted anywhere. What shares `substring_bytes` in a row is surely found where
one of the two is the first document with some of it, or the one before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luban.data.clusters import Orders
from luban.data.engine import ORDER, Table, starts
from luban.data.extras import load_extra
from luban.data.funnel import count_bytes
from luban.data.lines import weighed
from luban.data.outcomes import settle
from luban.data.settings import DedupSettings
from luban.data.signatures import arrow_texts, undropped
from luban.data.steps import drop_mark
from luban.files import disk_errors
from luban.native.winnow import winnow
from luban.records import Drop

SHARED = "shared spans"
"""The step in the funnel."""
ANCHORS = 1 << 15  # followed in one task
ANCHOR = np.dtype([("order", np.int64), ("at", np.int64), ("other", np.int64), ("other_at", np.int64)])
Bytes = bytes | memoryview
_REACH = 64  # bytes compared at first; twice as many each time


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """Maps documents to their fingerprints: columns order, fingerprint, at (bytes from the beginning)."""

    settings: DedupSettings

    def __call__(self, table: Table) -> Table:
        """Return the fingerprints of the rows that have not been dropped."""
        pa = load_extra("pyarrow")
        table = undropped(table, "text")
        texts = arrow_texts(table.column("text"), self.settings)
        length = max(1, self.settings.substring_bytes // 2)
        hashes, places = winnow(texts.data, texts.offsets, length, self.settings.substring_bytes - length + 1)
        orders = table.column(ORDER).to_numpy()[places[:, 0]]
        at = np.ascontiguousarray(places[:, 1])
        return pa.table({ORDER: orders, "fingerprint": hashes, "at": at})


@dataclass(frozen=True, slots=True)
class Anchors:
    """Maps whole groups of equal fingerprints to places of one document that may be in an earlier one too."""

    def __call__(self, table: Table) -> Table:
        """Return each place with its like in the first document, and in the one before."""
        pa = load_extra("pyarrow")
        orders, at = (table.column(name).to_numpy() for name in (ORDER, "at"))
        begins = starts(table, "fingerprint")
        group = np.repeat(np.arange(len(begins)), np.diff(np.r_[begins, len(orders)]))
        row = np.arange(len(orders))
        fresh = np.r_[True, (orders[1:] != orders[:-1]) | (group[1:] != group[:-1])][: len(orders)]
        before = np.maximum.accumulate(np.where(fresh, row, 0)) - 1  # the last row of the document before
        first = begins[group]
        has = orders != orders[first]
        pairs = np.concatenate(
            [np.stack([row[has], first[has]], axis=1), np.stack([row[has], before[has]], axis=1)]
        )
        pairs = np.unique(pairs, axis=0)
        here, there = pairs[:, 0], pairs[:, 1]
        return pa.table({ORDER: orders[here], "at": at[here], "other": orders[there], "other_at": at[there]})


def write_anchors(tables: Iterable[Table], path: Path) -> NDArray[Any]:
    """Write the anchors, sorted by document and place; return them."""
    parts = [np.zeros(0, ANCHOR)]
    for table in tables:
        part = np.empty(table.num_rows, ANCHOR)
        for name in ANCHOR.names or ():
            part[name] = table.column(name).to_numpy()
        parts.append(part)
    anchors = np.concatenate(parts)
    anchors = anchors[np.lexsort([anchors[name] for name in reversed(ANCHOR.names or ())])]
    with disk_errors(path):
        np.save(path, anchors)
    return anchors


def anchor_units(anchors: NDArray[Any]) -> list[tuple[int, int]]:
    """Return ranges of anchors, those of a document together."""
    new = np.flatnonzero(np.r_[True, anchors["order"][1:] != anchors["order"][:-1]][: len(anchors)])
    units, begin = [], 0
    for end in [*new[1:].tolist(), len(anchors)]:
        if end - begin >= ANCHORS or (end == len(anchors) and end > begin):
            units.append((begin, end))
            begin = end
    return units


@dataclass(frozen=True, slots=True)
class ReadAnchors:
    """Reads a range of anchors as a table of one row for each: all that `Follow` needs is where they are."""

    path: Path

    def __call__(self, unit: tuple[int, int]) -> Iterator[Table]:
        """Yield the anchors."""
        part = np.load(self.path, mmap_mode="r")[slice(*unit)]
        yield load_extra("pyarrow").table({n: np.ascontiguousarray(part[n]) for n in ANCHOR.names or ()})


def write_texts(tables: Iterable[Table], folder: Path) -> None:
    """Lay documents out in a file that processes can share."""
    orders, ends = [], [0]
    with disk_errors(folder):
        folder.mkdir()
        with (folder / "texts").open("wb") as file:
            for table in tables:
                for order, text in zip(
                    table.column(ORDER).to_pylist(), table.column("text").to_pylist(), strict=True
                ):
                    raw = text.encode("utf-8", "surrogatepass")
                    file.write(raw)
                    orders.append(order)
                    ends.append(ends[-1] + len(raw))
        np.save(folder / "orders.npy", np.array(orders, np.int64))
        np.save(folder / "ends.npy", np.array(ends, np.int64))


@dataclass(frozen=True, slots=True)
class Follow:
    """Maps anchors to the spans that really are shared: columns order, begin, end (bytes), left.

    `left`: how much text the document has without its spans, as `weighed`.
    """

    folder: Path
    least: int

    def __call__(self, table: Table) -> Table:
        """Return the spans of each document, apart and in order."""
        columns = [table.column(name).to_numpy() for name in ANCHOR.names or ()]
        found: list[tuple[int, int, int, int]] = []
        begins = np.flatnonzero(np.r_[True, columns[0][1:] != columns[0][:-1]])
        for begin, end in zip(begins.tolist(), [*begins[1:].tolist(), len(columns[0])], strict=True):
            order = int(columns[0][begin])
            raw = self._raw(order)
            spans = self._spans(raw, *(column[begin:end].tolist() for column in columns[1:]))
            if spans:
                left = weighed(cut_out(bytes(raw).decode("utf-8", "surrogatepass"), spans))
                found += [(order, *span, left) for span in spans]
        names = (ORDER, "begin", "end", "left")
        rows = np.array(found, np.int64).reshape(-1, 4)
        return load_extra("pyarrow").table(
            {name: np.ascontiguousarray(rows[:, k]) for k, name in enumerate(names)}
        )

    def _spans(
        self, raw: memoryview, at: list[int], other: list[int], other_at: list[int]
    ) -> list[tuple[int, int]]:
        spans: list[tuple[int, int]] = []
        for place, there, there_at in zip(at, other, other_at, strict=True):
            if spans and spans[-1][0] <= place and place + self.least // 2 <= spans[-1][1]:
                continue
            begin, end = grown(raw, place, self._raw(there), there_at)
            begin, end = _whole_characters(raw, begin, end)
            if end - begin < self.least:
                continue
            while spans and begin <= spans[-1][1]:
                last = spans.pop()
                begin, end = min(begin, last[0]), max(end, last[1])
            spans.append((begin, end))
        return spans

    def _raw(self, order: int) -> memoryview:
        texts, orders, ends = _load_texts(self.folder)
        at = int(np.searchsorted(orders, order))
        return texts[ends[at] : ends[at + 1]].data


def grown(one: Bytes, at: int, other: Bytes, other_at: int) -> tuple[int, int]:
    """Return the longest span around a place of one text that stands around the other's place too."""
    most = min(len(one) - at, len(other) - other_at)
    after = _longest(most, lambda i, j: one[at + i : at + j] == other[other_at + i : other_at + j])
    most = min(at, other_at)
    before = _longest(most, lambda i, j: one[at - j : at - i] == other[other_at - j : other_at - i])
    return at - before, at + after


def cut_out(text: str, spans: list[tuple[int, int]]) -> str:
    """Return a text without spans, given in bytes; words to both sides do not grow together."""
    raw, at, kept = text.encode("utf-8", "surrogatepass"), 0, ""
    for begin, end in [*spans, (len(raw), len(raw))]:
        part = raw[at:begin].decode("utf-8", "surrogatepass")
        fused = kept[-1:].isalnum() and part[:1].isalnum() and kept[-1:].isascii() and part[:1].isascii()
        kept += " " * fused + part
        at = end
    return kept.strip()


@dataclass(frozen=True, slots=True)
class RemoveSpans:
    """Maps documents to what is left of them without the spans in a file."""

    settings: DedupSettings
    path: Path
    name: str = SHARED

    def __call__(self, table: Table) -> Table:
        """Return the documents; those that become too short are dropped, with their whole text."""
        spans = _load_spans(self.path)
        texts, drops, sizes = {}, {}, {}
        rows = zip(*(table.column(name).to_pylist() for name in (ORDER, "drop", "sizes")), strict=True)
        for row, (order, drop, before) in enumerate(rows):
            if drop is not None:
                continue
            begin, end = np.searchsorted(spans[:, 0], (order, order + 1))
            if begin == end:
                sizes[row] = before[-1:]
                continue
            own = spans[begin:end].tolist()
            if own[0][3] < self.settings.min_chars:
                detail = f"{own[0][3]} characters left, at least {self.settings.min_chars} are needed"
                shared = sum(stop - start for _, start, stop, _ in own)
                why = Drop("nothing but shared spans", f"{detail}; {shared} bytes are in earlier documents")
                drops[row] = drop_mark(why, self.name)["drop"]
                continue
            texts[row] = cut_out(table.column("text")[row].as_py(), [(b, e) for _, b, e, _ in own])
            sizes[row] = [count_bytes(texts[row])]
        return settle(table, drops, sizes, texts)


def write_spans(tables: Iterable[Table], path: Path, least_left: int) -> Orders:
    """Write the spans that `Follow` found; return the documents that are left too short."""
    parts = [np.zeros((0, 4), np.int64)]
    for table in tables:
        columns = [table.column(name).to_numpy() for name in (ORDER, "begin", "end", "left")]
        parts.append(np.stack(columns, axis=1))
    spans = np.concatenate(parts)
    spans = spans[np.lexsort((spans[:, 1], spans[:, 0]))]
    with disk_errors(path):
        np.save(path, spans)
    return np.unique(spans[spans[:, 3] < least_left, 0])


def _longest(most: int, alike: Callable[[int, int], bool]) -> int:
    """Return how far two texts are alike, given whether they are from one distance to another."""
    same, reach = 0, _REACH
    while same < most and alike(same, min(same + reach, most)):
        same, reach = min(same + reach, most), 2 * reach
    low, high = same, min(same + reach, most)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if alike(low, middle) else (low, middle - 1)
    return low


def _whole_characters(raw: Bytes, begin: int, end: int) -> tuple[int, int]:
    while begin < end and raw[begin] & 0xC0 == 0x80:
        begin += 1
    while end > begin and end < len(raw) and raw[end] & 0xC0 == 0x80:
        end -= 1
    return begin, end


def let_go() -> None:
    """Close what this process holds open: a file that was deleted would still take the disk's space."""
    _load_texts.cache_clear()


@lru_cache(maxsize=1)
def _load_texts(folder: Path) -> tuple[NDArray[np.uint8], Orders, Orders]:
    texts = np.memmap(folder / "texts", np.uint8, "r")
    return texts, np.load(folder / "orders.npy"), np.load(folder / "ends.npy")


@lru_cache(maxsize=1)
def _load_spans(path: Path) -> Orders:
    spans: Orders = np.load(path)
    return spans
