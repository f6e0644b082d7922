"""What a census found, as plain values for JSON, a terminal and a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from luban.data.census import MEASURES, Census, Kind
from luban.data.phrases import MIN_SHOWN
from luban.data.tallies import Spread, Top

SHOWN = 30
MINOR = 0.2
"""Words of a language without spaces, or runs of characters of one with them, are shown from this share."""
PART = 0.75
"""A run of characters that is within a longer one so often is not shown beside it."""
PER_CENT = [*range(102)]
WORD_TENTHS = [*range(0, 201, 2)]


def census_facts(census: Census) -> dict[str, Any]:
    """Return what was counted as plain values, languages in the order of their bytes."""
    tables = {name: values.facts() for name, values in census.values.items() if values.counts}
    order = [name for name in tables.get("language", {}) if name in census.kinds]
    kinds = {name: census.kinds[name] for name in dict.fromkeys((*order, *census.kinds))}
    every = Spread()
    for kind in kinds.values():
        every.merge(kind.chars)
    samples = census.samples.facts()
    words = {name: kind.word_tenths for name, kind in kinds.items() if kind.word_tenths.n}
    return {
        "documents": census.documents,
        "bytes": census.size_bytes,
        "empty": census.empty,
        "tables": tables,
        "all_lengths": every.facts(),
        "lengths": {name: kind.chars.facts() for name, kind in kinds.items()},
        "quality": {name: _measure(name, kinds) for name in MEASURES},
        "word_lengths": {name: spread.facts(10, WORD_TENTHS) for name, spread in words.items()},
        "phrases": {name: _phrases(kind.phrases) for name, kind in kinds.items() if kind.phrases},
        "sampled": {
            name: {"documents": kind.sampled[0], "bytes": kind.sampled[1]} for name, kind in kinds.items()
        },
        "tokens": {
            name: _tokens(kind, tables["language"].get(name, {}))
            for name, kind in kinds.items()
            if kind.tokens.n
        },
        "samples": {name: samples[name] for name in dict.fromkeys((*order, *samples)) if name in samples},
    }


def _measure(name: str, kinds: Mapping[str, Kind]) -> dict[str, Any]:
    spreads = {language: kind.shares[name] for language, kind in kinds.items()}
    return {
        "of": MEASURES[name],
        "languages": {language: s.facts(1, PER_CENT) for language, s in spreads.items() if s.n},
    }


def _phrases(found: Mapping[str, Top]) -> dict[str, list[list[Any]]]:
    """Return the top of each kind that matters in the language: words, or runs of characters, or both."""
    runs, words = found.get("2 characters", Top(0)), found.get("words", Top(0))
    most = max(runs.total, words.total)
    shown: dict[str, list[list[Any]]] = {}
    for of in sorted(found, key=lambda of: (of != "words", of)):
        if (runs if "characters" in of else words).total >= MINOR * most:
            shown[of] = _top(found, of)
    return shown


def _top(found: Mapping[str, Top], of: str) -> list[list[Any]]:
    longer: dict[str, int] = {}
    if "characters" in of:
        for run, n in found[f"{int(of[0]) + 1} characters"].first(20 * SHOWN) if of[0] in "23" else ():
            for part in (run[:-1], run[1:]):
                longer[part] = max(longer.get(part, 0), n)
    top = found[of].first(4 * SHOWN)
    return [[text, n] for text, n in top if n >= MIN_SHOWN and longer.get(text, 0) < PART * n][:SHOWN]


def _tokens(kind: Kind, whole: Mapping[str, int]) -> dict[str, Any]:
    """Tokens of a language: what was counted, and what all of it comes to at the same bytes per token."""
    documents, size = kind.sampled
    return {
        "documents": documents,
        "bytes": size,
        "tokens": kind.tokens.total,
        "bytes_per_token": round(size / kind.tokens.total, 4) if kind.tokens.total else 0.0,
        "tokens_estimated": round(kind.tokens.total * whole.get("bytes", size) / size) if size else 0,
        "per_document": kind.tokens.facts(),
    }
