"""The records that rooms hand to each other."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

IGNORE = -100
"""A target with this value is not supervised."""


@dataclass(frozen=True, slots=True)
class Document:
    """One text with its origin. `language` is an ISO 639-1 code, or "und" when unknown."""

    id: str
    text: str
    source: str
    licence: str = "unknown"
    language: str = "und"


@dataclass(frozen=True, slots=True)
class Drop:
    """Why a document was left out, with the value that decided it.

    Drop("too short", "12 characters, at least 40 are needed")
    """

    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled text of a task. `label` is the label's name."""

    id: str
    text: str
    label: str


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """What one forward pass sees.

    tokens (B, T). documents (B, T): which document of the row a token belongs to, from 1; 0 marks
    padding. Tokens attend only inside their own document, so one tensor serves padding and packing.
    targets (B, T) token ids or IGNORE, or (B,) classes. ids: the samples in it, for provenance.
    """

    tokens: Tensor
    documents: Tensor
    targets: Tensor
    ids: tuple[int, ...] = ()

    def to(self, device: object) -> Batch:
        """Copy the tensors to a device."""
        moved = {
            f.name: getattr(self, f.name).to(device, non_blocking=True)
            for f in fields(self)
            if f.name != "ids"
        }
        return replace(self, **moved)

    @property
    def n_padding(self) -> int:
        """Positions that carry no token."""
        return int((self.documents == 0).sum())


@dataclass(frozen=True, slots=True, eq=False)
class Loss:
    """A sum of nats and the number of targets it is over, so that parts add up exactly."""

    total: Tensor
    n_targets: Tensor | int


@dataclass(frozen=True, slots=True)
class Step:
    """What one optimizer step did. `loss` is nats per target; `number` counts from 1."""

    number: int
    loss: float
    grad_norm: float
    lr: float
    n_targets: int
    n_tokens: int
    padding: float
    seconds: float
