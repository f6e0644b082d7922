"""Training rows that differ a little each time they are read, so that no wording is learnt by heart.

Works on tokens, so in any language. Source of swap, insert, delete and replace: EDA, arXiv:1901.11196;
of hidden spans: SpanBERT, arXiv:1907.10529, section 3.1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch

from luban.data.settings import AugmentSettings
from luban.records import Batch

Array = np.ndarray[Any, Any]


class Source(Protocol):
    """Batches by step; rows of tokens with one document each."""

    def at(self, step: int) -> list[Batch]:
        """Return the micro-batches of a step."""


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """What a change of tokens must know of the vocabulary."""

    special: frozenset[int]
    """Ids that stay where and what they are."""
    pad_id: int
    mask_id: int | None = None
    near: Array | None = None
    """(V, k): tokens near each one; rows of -1 where none is."""


class Augmented:
    """Batches whose rows are changed; what a row becomes depends on (seed, step, row) alone."""

    def __init__(self, batches: Source, settings: AugmentSettings, tokens: Tokens, seed: int):
        self._batches, self._settings, self._tokens, self._seed = batches, settings, tokens, seed

    def at(self, step: int) -> list[Batch]:
        """Return the micro-batches of a step, however their rows are divided."""
        return [self._changed(batch, step) for batch in self._batches.at(step)]

    def _changed(self, batch: Batch, step: int) -> Batch:
        rows = []
        for row, tokens, documents in zip(batch.ids, batch.tokens, batch.documents, strict=True):
            draw = np.random.default_rng((self._seed, step, row))
            rows.append(change(tokens[documents > 0].numpy(), self._settings, self._tokens, draw))
        width = max(map(len, rows))
        padded = np.full((len(rows), width), self._tokens.pad_id)
        real = np.zeros((len(rows), width), np.int64)
        for i, row_tokens in enumerate(rows):
            padded[i, : len(row_tokens)], real[i, : len(row_tokens)] = row_tokens, 1
        return replace(batch, tokens=torch.from_numpy(padded), documents=torch.from_numpy(real))


def change(ids: Array, settings: AugmentSettings, tokens: Tokens, draw: np.random.Generator) -> Array:
    """Return a row of tokens changed as the settings ask."""
    ids = ids.astype(np.int64)
    for share, how in (
        (settings.replace, _replace),
        (settings.swap, _swap),
        (settings.insert, _insert),
        (settings.delete, _delete),
        (settings.hide, _hide),
    ):
        if share:
            ids = how(ids, share, tokens, draw)
    return _hide_spans(ids, settings, tokens, draw) if settings.hide_spans else ids


Change = Callable[[Array, float, Tokens, np.random.Generator], Array]


def _ordinary(ids: Array, tokens: Tokens) -> Array:
    return np.flatnonzero(~np.isin(ids, list(tokens.special)))


def _chosen(ids: Array, share: float, tokens: Tokens, draw: np.random.Generator) -> Array:
    places = _ordinary(ids, tokens)
    return places[draw.random(len(places)) < share]


def _replace(ids: Array, share: float, tokens: Tokens, draw: np.random.Generator) -> Array:
    assert tokens.near is not None  # the task has made it
    places = _chosen(ids, share, tokens, draw)
    near = tokens.near[ids[places], draw.integers(tokens.near.shape[1], size=len(places))]
    ids[places] = np.where(near >= 0, near, ids[places])
    return ids


def _swap(ids: Array, share: float, tokens: Tokens, draw: np.random.Generator) -> Array:
    places = _ordinary(ids, tokens)
    for place in _chosen(ids, share, tokens, draw):
        other = draw.choice(places)
        ids[place], ids[other] = ids[other], ids[place]
    return ids


def _insert(ids: Array, share: float, tokens: Tokens, draw: np.random.Generator) -> Array:
    said = ids[_chosen(ids, share, tokens, draw)]
    places = _ordinary(ids, tokens)
    return np.insert(ids, draw.choice(places, len(said)), said) if len(said) else ids


def _delete(ids: Array, share: float, tokens: Tokens, draw: np.random.Generator) -> Array:
    gone = _chosen(ids, share, tokens, draw)
    if len(gone) == len(_ordinary(ids, tokens)):
        gone = np.delete(gone, draw.integers(len(gone))) if len(gone) else gone
    return np.delete(ids, gone)


def _hide(ids: Array, share: float, tokens: Tokens, draw: np.random.Generator) -> Array:
    ids[_chosen(ids, share, tokens, draw)] = tokens.mask_id
    return ids


def _hide_spans(ids: Array, settings: AugmentSettings, tokens: Tokens, draw: np.random.Generator) -> Array:
    places = _ordinary(ids, tokens)
    n_hidden = draw.binomial(len(places), settings.hide_spans)
    while n_hidden > 0 and len(places):
        length = min(n_hidden, draw.geometric(1 / settings.span_length))
        start = draw.integers(max(1, len(places) - length + 1))
        ids[places[start : start + length]] = tokens.mask_id
        n_hidden -= length
    return ids
