"""Remove lines or paragraphs that stand in many documents: menus, notices, headers and footers.

Lines are equal if they are but for letter case and white space. Each stays in the first document that has
it, so that a second pass finds nothing more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from luban.data.clusters import Orders
from luban.data.engine import ORDER, Table, starts
from luban.data.extras import load_extra
from luban.data.funnel import count_bytes, source_title
from luban.data.outcomes import settle
from luban.data.settings import DedupSettings
from luban.data.signatures import arrow_texts
from luban.data.steps import drop_mark
from luban.files import disk_errors
from luban.native.minhash import Units, find_units
from luban.records import Drop

Kind = Literal["lines", "paragraphs"]


@dataclass(frozen=True, slots=True)
class LineKeys:
    """Maps documents to the lines in them: columns order, line_key, each line once a document."""

    settings: DedupSettings
    kind: Kind

    def __call__(self, table: Table) -> Table:
        """Return a row for each line that is long enough to be removed."""
        pa = load_extra("pyarrow")
        units, keys = keyed_units(table, self.settings, self.kind)
        there = np.zeros(table.num_rows, bool)
        if "drop" in table.column_names:
            there = ~table.column("drop").is_null().to_numpy()
        long = (units.lengths >= self.settings.min_line_chars) & ~there[units.places[:, 0]]
        rows = np.unique(np.stack([units.places[long, 0], keys[long]], axis=1), axis=0)
        orders = table.column(ORDER).to_numpy()[rows[:, 0]]
        return pa.table({ORDER: orders, "line_key": np.ascontiguousarray(rows[:, 1])})


@dataclass(frozen=True, slots=True)
class Frequent:
    """Maps whole groups of equal lines to one row for each that too many documents have, with the first."""

    most: int

    def __call__(self, table: Table) -> Table:
        """Return the columns order, line_key."""
        begins = starts(table, "line_key")
        counts = np.diff(np.r_[begins, table.num_rows])
        return table.take(load_extra("pyarrow").array(begins[counts > self.most])).select([ORDER, "line_key"])


@dataclass(frozen=True, slots=True)
class RemoveLines:
    """Maps documents to what is left without the lines in a file, each of which stays where it was first."""

    settings: DedupSettings
    kind: Kind
    frequent: Path

    @property
    def name(self) -> str:
        """The step in the funnel."""
        return f"repeated {self.kind}"

    def __call__(self, table: Table) -> Table:
        """Return the documents; those that become too short are dropped, with their whole text."""
        units, keys = keyed_units(table, self.settings, self.kind)
        gone = self._gone(table, units, keys)
        texts, drops, sizes = {}, {}, {}
        for row, (drop, before) in enumerate(
            zip(table.column("drop").to_pylist(), table.column("sizes").to_pylist(), strict=True)
        ):
            if drop is not None:
                continue
            spans = gone.get(row, [])
            left = _without(table.column("text")[row].as_py(), spans) if spans else None
            if left is not None and (n := weighed(left)) < self.settings.min_chars:
                detail = f"{n} characters left, at least {self.settings.min_chars} are needed"
                more = f"{len(spans)} {self.kind} stand in more than {self.settings.max_repeats} documents"
                drops[row] = drop_mark(
                    Drop(f"nothing but repeated {self.kind}", f"{detail}; {more}"), self.name
                )["drop"]
            elif left is not None:
                texts[row], sizes[row] = left, [count_bytes(left)]
            else:
                sizes[row] = before[-1:]
        return settle(table, drops, sizes, texts)

    def _gone(self, table: Table, units: Units, keys: Orders) -> dict[int, list[tuple[int, int]]]:
        """Return the places, in bytes of the document, of the lines to remove from each row."""
        known, first = _load(self.frequent)
        if not len(known):
            return {}
        at = np.minimum(np.searchsorted(known, keys), len(known) - 1)
        orders = table.column(ORDER).to_numpy()[units.places[:, 0]]
        long = units.lengths >= self.settings.min_line_chars
        found = np.flatnonzero((known[at] == keys) & (first[at] != orders) & long)
        base = arrow_texts(table.column("text"), self.settings).offsets
        gone: dict[int, list[tuple[int, int]]] = {}
        for row, begin, end in units.places[found].tolist():
            gone.setdefault(row, []).append((begin - int(base[row]), end - int(base[row])))
        return gone


def write_frequent(tables: Iterable[Table], path: Path) -> int:
    """Write the lines that `Frequent` found; return how many."""
    keys, first = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for table in tables:
        keys.append(table.column("line_key").to_numpy())
        first.append(table.column(ORDER).to_numpy())
    joined = np.stack([np.concatenate(keys), np.concatenate(first)])
    with disk_errors(path):
        np.save(path, joined[:, np.argsort(joined[0], kind="stable")])
    return joined.shape[1]


def keyed_units(table: Table, settings: DedupSettings, kind: Kind) -> tuple[Units, Orders]:
    """Return the lines of a table's texts, with keys that are equal for equal lines (of one site)."""
    units = find_units(arrow_texts(table.column("text"), settings), paragraphs=kind == "paragraphs")
    keys = units.hashes.copy()
    if getattr(settings, kind) == "site":
        sites = np.array([_site_hash(source_title(s)) for s in table.column("source").to_pylist()], np.uint64)
        keys = (keys ^ sites[units.places[:, 0]]) * np.uint64(0x9E3779B97F4A7C15)
        keys ^= keys >> np.uint64(32)
    return units, keys.view(np.int64)


def weighed(text: str) -> int:
    """Return the length of a text in characters; one of three bytes or more counts as three."""
    return len(text) if text.isascii() else len(text) + 2 * sum(c >= "\u0800" for c in text)


@lru_cache(maxsize=10_000)
def _site_hash(site: str) -> int:
    return int.from_bytes(hashlib.blake2b(site.encode("utf-8", "replace"), digest_size=8).digest(), "little")


def _without(text: str, spans: list[tuple[int, int]]) -> str:
    raw, kept, at = text.encode("utf-8", "surrogatepass"), [], 0
    for begin, end in spans:
        kept.append(raw[at:begin])
        at = end + 1  # with the line's end
    kept.append(raw[at:])
    return b"".join(kept).decode("utf-8", "surrogatepass").strip("\r\n")


@lru_cache(maxsize=2)
def _load(path: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    keys, first = np.load(path)
    return keys, first
