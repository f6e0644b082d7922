"""What one row has read, kept from one prompt to the next, so that only what is new is read."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from luban.generate.twin import fast_twin
from luban.models.cache import Cache, LayerCache
from luban.models.model import Model

ROOM = 512
"""Places that are kept ready beyond those that are needed; a cache grows by half at least."""


class Memory:
    """Reads rows of ids; whatever the next row begins with as the one before it is not read again.

    memory.read([1, 2, 3]); memory.read([1, 2, 4, 5])      # reads 1 2 3, then 4 5
    """

    def __init__(self, model: Model):
        self._model = model
        self._ids: list[int] = []
        self._cache: Cache | None = None
        self.n_read = 0
        """Tokens that were really read, in all."""

    def forget(self) -> None:
        """Begin anew."""
        self._ids, self._cache = [], None

    @torch.no_grad()
    def read(self, ids: Sequence[int]) -> Tensor:
        """Return the scores of what could follow the row: (1, V)."""
        n_known = self._known(ids)
        cache = self._cache = self._with_room(n_known, len(ids))
        new = torch.tensor([list(ids[n_known:])])
        device = next(self._model.parameters()).device
        self._ids = []  # an answer that is broken off here leaves nothing half read
        model = fast_twin(self._model)
        hidden = model.hidden(new.to(device), None, cache)
        self._ids = list(ids)
        self.n_read += len(ids) - n_known
        scores: Tensor = model.head(hidden[:, -1])
        return scores

    def _known(self, ids: Sequence[int]) -> int:
        """Return how many tokens at the start need no reading: at most all but the last."""
        same = 0
        for old, new in zip(self._ids, ids[:-1], strict=False):
            if old != new:
                break
            same += 1
        is_recurrent = self._cache is not None and bool(self._cache.states)
        return same if not is_recurrent or same == len(self._ids) else 0

    def _with_room(self, n_known: int, n_all: int) -> Cache:
        """Return the cache cut to what is known, made longer where the row asks for it."""
        old = self._cache
        if old is not None and n_known and old.max_len >= n_all:
            if n_known < old.n_tokens:
                old.cut(n_known)
            return old
        config, parameter = self._model.config, next(self._model.parameters())
        longest = max(n_all + ROOM, n_all * 3 // 2)
        new = Cache(config, 1, min(longest, config.max_len), device=parameter.device, dtype=parameter.dtype)
        if old is not None and n_known:
            new.states = old.states
            for before, after in zip(old.layers, new.layers, strict=True):
                _copy(before, after, n_known)
            new.advance(n_known, None)
        return new


def _copy(old: LayerCache, new: LayerCache, n: int) -> None:
    new.keys[:, :, :n], new.values[:, :, :n] = old.keys[:, :, :n], old.values[:, :, :n]
    new.n_tokens = n
