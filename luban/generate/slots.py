"""Places for texts that are read side by side: what continuous batching asks of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Part = tuple[int, Sequence[int]]
"""A slot, and the ids that it reads next."""
Scores = NDArray[np.float32]


class Slots(Protocol):
    """A model with `n_slots` places, each of which holds what it has read, up to `max_len` tokens.

    What a slot holds decides its scores, and nothing else does: not its neighbours in a call, nor the
    parts in which its tokens came, to the last bit.
    """

    n_slots: int
    max_len: int
    vocab_size: int

    def read(self, parts: Sequence[Part]) -> Scores:
        """Read the parts, each in another slot; return what could follow each: (n_parts, V)."""
        ...

    def read_all(self, part: Part) -> Scores:
        """Read one part; return what could follow each of its tokens: (T, V)."""
        ...

    def n_tokens(self, slot: int) -> int:
        """Return how many tokens a slot holds."""
        ...

    def cut(self, slot: int, n_tokens: int) -> None:
        """Forget all but the first `n_tokens` of a slot; 0 frees it."""
        ...

    def copy(self, source: int, target: int, n_tokens: int) -> None:
        """Let `target` hold the first `n_tokens` of `source`, and nothing else."""
        ...
