"""The records that rooms hand to each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

IGNORE = -100
"""A target with this value is not supervised."""
LOWER_IS_BETTER = frozenset(
    {
        *("loss", "calibrated_loss", "hamming_loss", "bits_per_byte", "perplexity", "error_rate"),
        *("calibration_error", "ter"),
        *("mean_squared_error", "mean_absolute_error", "mse", "mae", "rmse"),
    }
)
"""Scores that improve downwards; all others improve upwards."""


@dataclass(frozen=True, slots=True)
class Document:
    """One text with its origin.

    `language` is an ISO 639-1 code, or "und" when unknown; `time` is when the text was written or
    fetched, ISO 8601, or "" when unknown; `extra` holds other columns that are carried along.
    """

    id: str
    text: str
    source: str
    licence: str = "unknown"
    language: str = "und"
    time: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)


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
    source: what an encoder reads, tokens (B, S) or log-mel frames (B, M, frames). source_documents
    (B, S): numbers as in documents, so that packed targets read their own source; 0 marks padding.
    segments (B, T): which of BERT's two texts a token belongs to, from 0; None: all to the first.
    reference: log-probabilities by the model that tuning began with, in nats, of each row (B,) or each
    target (B, T). before (B, T): the same by the weights that wrote the row. signal: how good rows are
    known to be; see the objectives of preferences and rewards. group: so many rows following each other are
    scored together, as two answers to one question are, and are never parted; 0: a row alone, and
    each of its documents for itself.
    """

    tokens: Tensor
    documents: Tensor
    targets: Tensor
    ids: tuple[int, ...] = ()
    source: Tensor | None = None
    source_documents: Tensor | None = None
    reference: Tensor | None = None
    before: Tensor | None = None
    signal: Tensor | None = None
    segments: Tensor | None = None
    group: int = 0

    @classmethod
    def tensor_names(cls) -> tuple[str, ...]:
        """Return the names of the fields that hold tensors; a row of each belongs to one sample."""
        return tuple(f.name for f in fields(cls) if f.name not in ("ids", "group"))

    def to(self, device: object) -> Batch:
        """Copy the tensors to a device."""
        tensors = {name: getattr(self, name) for name in self.tensor_names()}
        moved = {name: t.to(device, non_blocking=True) for name, t in tensors.items() if t is not None}
        return replace(self, **moved)

    @property
    def n_groups(self) -> int:
        """Groups of rows that may be parted from each other."""
        return len(self.tokens) // max(1, self.group)

    def groups(self, start: int, end: int) -> Batch:
        """Return the groups from one to before another, as a batch of their own."""
        tensors = {n: t for n in self.tensor_names() if (t := getattr(self, n)) is not None}
        n_each = {n: len(t) // self.n_groups for n, t in tensors.items()}
        parts = {n: t[start * n_each[n] : end * n_each[n]] for n, t in tensors.items()}
        size = max(1, self.group)
        is_one_each = len(self.ids) == len(self.tokens)
        return replace(self, **parts, ids=self.ids[start * size : end * size] if is_one_each else ())

    @property
    def n_positions(self) -> int:
        """Positions for tokens, filled or not, source and target together."""
        return sum(d.numel() for d in self._both_documents)

    @property
    def n_padding(self) -> int:
        """Positions that carry no token."""
        return sum(int((d == 0).sum()) for d in self._both_documents)

    @property
    def _both_documents(self) -> tuple[Tensor, ...]:
        return tuple(d for d in (self.documents, self.source_documents) if d is not None)


@dataclass(frozen=True, slots=True, eq=False)
class Loss:
    """A sum of nats and the number of targets it is over, so that parts add up exactly."""

    total: Tensor
    n_targets: Tensor | int


@dataclass(frozen=True, slots=True)
class Step:
    """What one optimizer step did. `loss` is nats per target; `number` counts from 1.

    `wait_seconds`, a part of `seconds`, went by until the data were there. `bad`: the micro-batches of a
    step whose loss or gradient is not finite, and which changed no weight.
    """

    number: int
    loss: float
    grad_norm: float
    lr: float
    n_targets: int
    n_tokens: int
    n_positions: int
    seconds: float
    wait_seconds: float = 0.0
    bad: tuple[Batch, ...] = ()

    @property
    def padding(self) -> float:
        """Share of the positions that carried no token."""
        return 1 - self.n_tokens / self.n_positions
