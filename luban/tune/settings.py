"""Settings of ways to tune that learn few weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

BLOCKS = ("*blocks.*",)
"""Every matrix product of the trunk: attention and MLP, an encoder's too."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoraSettings:
    """Low-rank adapters: what is learnt beside each frozen matrix W is scale·B·A (arXiv:2106.09685)."""

    rank: Annotated[int, Field(ge=1)] = 16
    """Rows of A and columns of B."""
    alpha: Annotated[float, Field(gt=0)] = 32.0
    """scale = alpha / rank."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the adapter's inputs zeroed in training."""
    targets: tuple[str, ...] = BLOCKS
    """Patterns of the names of the linear layers that get an adapter, such as "*.attention.q"."""
    rslora: bool = False
    """scale = alpha / sqrt(rank), so that a large rank learns as fast as a small one (arXiv:2312.03732)."""

    @property
    def scale(self) -> float:
        """Return what B·A is multiplied by."""
        return self.alpha / (self.rank**0.5 if self.rslora else self.rank)
