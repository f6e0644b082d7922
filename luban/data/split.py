"""Documents to train, validation and test: by hash or by time, a whole cluster of documents at a time."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from luban.data.documents import (
    DROPPED,
    SPLITS,
    JsonLines,
    dropped_row,
    read_documents,
    write_documents,
)
from luban.data.funnel import FunnelStep, Kept, count_bytes, document_counts, site_of
from luban.data.readers.times import iso_time
from luban.data.settings import SplitSettings
from luban.errors import DataError
from luban.log import Log
from luban.records import Drop

Row = dict[str, Any]
_YEAR = re.compile(r"\d{4}")


def split(settings: SplitSettings, inputs: Mapping[str, Path], out: Path, log: Log) -> dict[str, Any]:
    """Write the documents again with a column `split`.

    Documents of `previous`, an earlier split, keep their part, whatever has come since. A new document
    that is like some of its training documents and some of its test documents is dropped.
    """
    folder = inputs["documents"]
    families = gather(read_documents(folder), settings)
    if not families.clustered:
        log.warn("the documents have no clusters, so similar ones may be parted: run dedup before split")
    before = _parts_before(inputs.get("previous"))
    held = families.held(before, read_documents(folder)) if before else {}
    parted = sum(part == BETWEEN for part in held.values())
    if parted and settings.group is not None:
        log.warn(
            f"{parted} groups of documents stay parted: their documents were in different parts before",
            parted=parted,
        )
    free = {name for name in families.names() if name not in held}
    part_of = {**held, **_assign(free, families, settings, log, bool(held))}
    kept, step = Kept(), FunnelStep("one part")
    splits = {name: {"documents": 0, "bytes": 0} for name in SPLITS}

    def rows(dropped: JsonLines) -> Iterator[Row]:
        for row in read_documents(folder):
            part = before.get(row["id"]) or part_of[families.name(row)]
            size = count_bytes(row["text"])
            if part == BETWEEN:
                drop = Drop(BETWEEN, "it is like documents that are in different parts already")
                step.dropped(row["id"], row["text"], size, drop)
                dropped.add(dropped_row(row, drop, step.step))
                continue
            step.passed(size, size)
            splits[part]["documents"] += 1
            splits[part]["bytes"] += size
            kept.add(row["language"], row["licence"], row["source"], size)
            yield {**row, "split": part}

    with JsonLines(out / DROPPED) as dropped:
        write_documents(out, rows(dropped))
    counts = document_counts(step.documents_in, step.bytes_in, kept)
    return {
        "counts": {**counts, **{name: part["documents"] for name, part in splits.items()}},
        "splits": splits,
        "funnel": [step.facts()] if before else [],
        **kept.facts(),
        "rejects": 0,
    }


BETWEEN = "between the parts"


@dataclass(slots=True)
class Families:
    """Documents that must not be parted: those of a cluster, those of a group, and what links them."""

    clustered: bool = True
    _parent: dict[str, str] = field(default_factory=dict)
    _stratum: dict[str, str] = field(default_factory=dict)
    _time: dict[str, str] = field(default_factory=dict)

    def add(self, row: Row, settings: SplitSettings) -> None:
        """Count one document."""
        self.clustered = self.clustered and "cluster" in row
        name = _cluster(row)
        self._parent.setdefault(name, name)
        if settings.group is not None and (group := _value(row, settings.group)):
            # No cluster begins so: clusters are named by ids.
            self._join(name, f"\0{group}")
        if settings.stratify is not None:
            self._stratum.setdefault(name, _value(row, settings.stratify))
        if settings.by == "time":
            written = row.get("time") or ""
            time = iso_time(written) or written
            self._time[name] = min(self._time.get(name) or time, time) if time else self._time.get(name, "")

    def names(self) -> list[str]:
        """Return the name of every family: the least of its clusters'."""
        return sorted({self._root(name) for name in self._parent})

    def name(self, row: Row) -> str:
        """Return the name of a document's family."""
        return self._root(_cluster(row))

    def strata(self, names: Iterable[str]) -> dict[str, list[str]]:
        """Return the names by the stratum of the family's first cluster."""
        found: dict[str, list[str]] = {}
        for name in names:
            found.setdefault(self._stratum.get(name, ""), []).append(name)
        return found

    def times(self, names: Iterable[str]) -> dict[str, str]:
        """Return when the first document of each family was written."""
        wanted = set(names)
        found: dict[str, str] = {}
        for cluster, time in self._time.items():
            root = self._root(cluster)
            if root in wanted and time:
                found[root] = min(found.get(root, time), time)
        return {name: found.get(name, "") for name in wanted}

    def held(self, before: Mapping[str, str], rows: Iterable[Row]) -> dict[str, str]:
        """Return the part of each family that has one from an earlier split; BETWEEN if it has several."""
        parts: dict[str, set[str]] = {}
        for row in rows:
            if part := before.get(row["id"]):
                parts.setdefault(self.name(row), set()).add(part)
        return {name: next(iter(p)) if len(p) == 1 else BETWEEN for name, p in parts.items()}

    def _root(self, name: str) -> str:
        while (up := self._parent[name]) != name:
            self._parent[name] = self._parent[up]
            name = up
        return name

    def _join(self, cluster: str, group: str) -> None:
        self._parent.setdefault(group, cluster)
        one, other = self._root(cluster), self._root(group)
        self._parent[max(one, other)] = min(one, other)


def gather(rows: Iterable[Row], settings: SplitSettings) -> Families:
    """Return which documents must not be parted; a column that the settings name must be there."""
    families = Families()
    seen: set[str] = set()
    for row in rows:
        families.add(row, settings)
        seen.update(name for name, value in row.items() if value not in (None, ""))
    asked = {"group": settings.group, "stratify": settings.stratify}
    asked["by"] = "time" if settings.by == "time" else None
    for setting, column in asked.items():
        if column is not None and column not in (*seen, "site"):
            raise DataError(
                f"split.{setting} asks for the column {column}, and no document has it; "
                f"they have: {', '.join(sorted(seen))}",
                fix="name another column, or let `luban data collect` carry it: collect.carry",
            )
    return families


def _cluster(row: Row) -> str:
    return row.get("cluster") or row["id"]


def _value(row: Row, column: str) -> str:
    if column == "site":  # a file is no site: its rows need not stay together
        site = site_of(row["source"])
        return "" if site == row["source"] else site
    value = row.get(column)
    return "" if value is None else str(value)


def _parts_before(previous: Path | None) -> dict[str, str]:
    if previous is None:
        return {}
    return {row["id"]: row["split"] for row in read_documents(previous) if row.get("split")}


def _assign(
    names: set[str], families: Families, settings: SplitSettings, log: Log, is_later: bool
) -> dict[str, str]:
    shares = {"validation": settings.validation, "test": settings.test}
    if settings.by == "time":
        return _by_time(families.times(names), shares, log)
    found: dict[str, str] = {}
    strata = families.strata(names)
    n_parts = 1 + sum(share > 0 for share in shares.values())
    for stratum, members in strata.items():
        if (is_later or len(strata) > 1) and len(members) < n_parts:
            found.update(dict.fromkeys(members, "train"))
            if stratum:
                log.warn(f"{settings.stratify} = {stratum} has too few families to split: all train")
        else:
            found.update(assign(members, seed=settings.seed, **shares))
    return found


def _by_time(times: Mapping[str, str], shares: Mapping[str, float], log: Log) -> dict[str, str]:
    """The newest families to the test, the next newest to validation; those without a time train."""
    dated = sorted((time, name) for name, time in times.items() if _YEAR.match(time))
    if undated := len(times) - len(dated):
        log.warn(f"{undated} families of documents have no time: all train", undated=undated)
    n_test, n_validation = (round(shares[name] * len(dated)) for name in ("test", "validation"))
    end = len(dated) - n_test
    found = dict.fromkeys(times, "train")
    found.update((name, "test") for _, name in dated[end:])
    found.update((name, "validation") for _, name in dated[end - n_validation : end])
    return found


def assign(clusters: Iterable[str], *, validation: float, test: float, seed: int) -> dict[str, str]:
    """Map each cluster to train, validation or test by its hash, so that order does not matter.

    Each part with a share above 0 gets a cluster, however few there are; a cluster's part changes
    with the other clusters only then. Raises DataError if there are fewer clusters than parts.
    """
    shares = {"test": test, "validation": validation}
    ordered = sorted((_unit(c, seed), c) for c in set(clusters))
    wanted = [name for name, share in shares.items() if share > 0]
    if len(ordered) < len(wanted) + 1:
        raise DataError(
            f"{len(ordered)} clusters of similar documents cannot fill train, {' and '.join(wanted)}",
            fix="give more documents, or set " + " and ".join(f"split.{name}=0" for name in wanted),
        )
    found: dict[str, str] = {}
    bound, at = 0.0, 0
    for i, name in enumerate(wanted):
        bound += shares[name]
        still_needed = len(wanted) - i  # one for each later part and one for train
        first = at
        while at < len(ordered) - still_needed and (at == first or ordered[at][0] < bound):
            found[ordered[at][1]] = name
            at += 1
    found.update((cluster, "train") for _, cluster in ordered[at:])
    return found


def fold_of(clusters: Iterable[str], folds: int, seed: int) -> dict[str, int]:
    """Map each cluster to a fold, counted from 1, by the order of the hashes: folds are of equal size.

    Raises DataError if there are fewer clusters than folds.
    """
    ordered = sorted(set(clusters), key=lambda cluster: (_unit(cluster, seed), cluster))
    if len(ordered) < folds:
        raise DataError(
            f"{len(ordered)} clusters of similar texts cannot fill {folds} folds",
            fix="give more rows, or fewer folds",
        )
    return {cluster: 1 + i % folds for i, cluster in enumerate(ordered)}


def _unit(cluster: str, seed: int) -> float:
    """A number in [0, 1) from the hash of a cluster and the seed."""
    digest = hashlib.sha256(f"{seed}\0{cluster}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
