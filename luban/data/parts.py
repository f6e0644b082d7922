"""Parts of token shards that a mixture weighs: folders, sources, languages, or buckets of a number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from luban.config import nearest
from luban.data.mixture_settings import MixtureSettings
from luban.data.shards import Shard, open_shard
from luban.data.streams import Stream, chosen, whole
from luban.errors import ConfigError, DataError
from luban.files import read_json

ORIGIN = ("source", "licence", "language")
MOST_PARTS = 1000
Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """What is weighed as one: its name, and its tokens in each folder that has any."""

    name: str
    streams: tuple[Stream, ...]


def folder_names(folders: Sequence[Path]) -> list[str]:
    """Name folders as mixtures do: by their last name, "NAME:2" for the second that has it."""
    seen: dict[str, int] = {}
    names = []
    for folder in folders:
        name = folder.absolute().name
        seen[name] = seen.get(name, 0) + 1
        names.append(name if seen[name] == 1 else f"{name}:{seen[name]}")
    return names


def open_parts(folders: Sequence[Path], split: str, settings: MixtureSettings) -> list[Part]:
    """Open a split of shards folders that have the same tokenizer, and part it as the settings say."""
    shards = [open_shard(folder / split) for folder in folders]
    _refuse_mixed_tokenizers(folders)
    if settings.by == "folder":
        pairs = zip(folder_names(folders), shards, strict=True)
        return [Part(name, (whole(shard),)) for name, shard in pairs]
    if settings.by in ORIGIN:
        labels, names = _origins(shards, ORIGIN.index(settings.by))
    else:
        labels, names = _buckets(shards, settings)
    if len(names) > MOST_PARTS:
        raise ConfigError(
            f"mixture.by = {settings.by} finds {len(names)} parts, such as {names[0]!r}; more than "
            f"{MOST_PARTS} cannot be weighed one by one",
            fix="mix by folder, language or licence",
        )
    return list(_parted(shards, labels, names))


def shares(parts: Sequence[Part], sizes: Array, settings: MixtureSettings) -> list[Array]:
    """Return each part's share of the windows, one array a phase; a size is a part's own windows."""
    given = [phase.weights for phase in settings.phases] or ([settings.weights] if settings.weights else [])
    if not given:
        return (
            [sizes / sizes.sum()] if settings.temperature == 1 else [_tempered(sizes, settings.temperature)]
        )
    return [_given(parts, sizes, weights) for weights in given]


def _tempered(sizes: Array, temperature: float) -> Array:
    # Of logarithms, so that no power overflows.
    logs = np.log(np.maximum(sizes, 1)) / temperature
    powers = np.where(sizes > 0, np.exp(logs - logs.max()), 0)
    return powers / powers.sum()


def _given(parts: Sequence[Part], sizes: Array, weights: Mapping[str, float]) -> Array:
    names = [part.name for part in parts]
    for name in weights:
        if name not in names:
            raise ConfigError(f"mixture.weights: no part is named {name!r}", fix=nearest(name, names))
    if missing := [name for name in names if name not in weights]:
        raise ConfigError(
            f"mixture.weights say nothing of {', '.join(missing[:5])}",
            fix="give every part a weight; 0 leaves it out",
        )
    found = np.array([weights[name] for name in names], np.float64)
    if not (np.isfinite(found).all() and found.sum() > 0):
        raise ConfigError(f"mixture.weights = {dict(weights)} leave nothing", fix="give a part more than 0")
    for name, share, size in zip(names, found, sizes, strict=True):
        if share and not size:
            raise DataError(
                f"mixture.weights give {name} {share:g}, and its text does not fill one window",
                fix="give it more text, set its weight to 0, or lower context",
            )
    return found / found.sum()


def _origins(shards: Sequence[Shard], column: int) -> tuple[list[Array], list[str]]:
    """Label every document with its source, licence or language."""
    known: dict[str, int] = {}
    labels = []
    for shard in shards:
        of_line = [known.setdefault(origin[column], len(known)) for origin in shard.origins()]
        labels.append(np.array(of_line, np.int64)[shard.rows()[:, 1]])
    return labels, list(known)


def _buckets(shards: Sequence[Shard], settings: MixtureSettings) -> tuple[list[Array], list[str]]:
    """Label every document with the bucket of its number; each holds about as many tokens."""
    lengths = [np.diff(shard.offsets) for shard in shards]
    values = lengths if settings.by == "length" else [shard.column(settings.by) for shard in shards]
    if any(not np.isfinite(v).all() for v in values):
        raise DataError(
            f"mixture.by = {settings.by}: some documents have no such number", fix="fill it, and shard again"
        )
    together, sizes = np.concatenate(values), np.concatenate(lengths)
    order = np.argsort(together, kind="stable")
    reached = sizes[order].cumsum()
    n = settings.buckets
    cuts = [together[order[np.searchsorted(reached, reached[-1] * k / n)]] for k in range(1, n)]
    labels = [np.searchsorted(cuts, v, "left") for v in values]
    return labels, [str(k + 1) for k in range(n)]


def _parted(shards: Sequence[Shard], labels: Sequence[Array], names: Sequence[str]) -> Iterator[Part]:
    for label, name in enumerate(names):
        found = [np.flatnonzero(its == label) for its in labels]
        streams = [chosen(s, documents) for s, documents in zip(shards, found, strict=True) if len(documents)]
        if streams:
            yield Part(name, tuple(streams))


def _refuse_mixed_tokenizers(folders: Sequence[Path]) -> None:
    paths = [folder / "tokenizer" / "tokenizer.json" for folder in folders]
    for folder, path in zip(folders[1:], paths[1:], strict=True):
        # Parsing takes long, and is needed only where the same content was written in another way.
        if path.read_bytes() != paths[0].read_bytes() and read_json(path) != read_json(paths[0]):
            raise DataError(
                f"{folders[0]} and {folder} number their tokens differently",
                fix="shard both with the same tokenizer",
            )
