"""Settings of ways to tune that learn few weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

MethodName = Literal["full", "head", "lora", "dora", "qlora", "prompt", "prefix", "bottleneck", "bitfit"]
"""Ways to tune; see luban/tune/methods.py."""
Place = Literal["both", "mlp"]
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
    """Patterns of the names of the layers that get an adapter, linear ones or tables, such as
    "*.attention.q" or "stem.tokens"."""
    rslora: bool = False
    """scale = alpha / sqrt(rank), so that a large rank learns as fast as a small one (arXiv:2312.03732)."""

    ranks: dict[str, Annotated[int, Field(ge=1)]] = field(default_factory=dict)
    """Pattern of layers → their own rank, such as {"*.attention.*": 4}; the first that fits counts."""

    def scale(self, rank: int) -> float:
        """Return what B·A of such a rank is multiplied by."""
        return self.alpha / (rank**0.5 if self.rslora else rank)


@dataclass(frozen=True, kw_only=True, slots=True)
class FrontSettings:
    """Learnt vectors in front of every text: a prompt (arXiv:2104.08691) or a prefix (arXiv:2101.00190)."""

    n: Annotated[int, Field(ge=1)] = 20
    """How many; rows of text become shorter by as many tokens."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BottleneckSettings:
    """Small MLPs after the sublayers of each block (arXiv:1902.00751)."""

    width: Annotated[int, Field(ge=1)] = 64
    """Hidden width of each."""
    place: Place = "both"
    """After attention and MLP, or after the MLP alone (arXiv:2005.00247)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QuantiseSettings:
    """How matrices that rest are stored in fewer bits."""

    bits: Literal["int8", "nf4"] = "int8"
    """8.5 bits a number, or 4.5 by the quantiles of a normal distribution (arXiv:2305.14314)."""
