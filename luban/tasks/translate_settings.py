"""Settings of translation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from luban.tasks.tune_settings import TuneSettings
from luban.train.settings import Count, Decay, NotNegative


@dataclass(frozen=True, kw_only=True, slots=True)
class PairColumns:
    """Which columns of a table hold what; null finds them by their usual names."""

    source: str | None = None
    """Column with the text to translate (else: source, src, 原文, ..., or the first language code)."""
    target: str | None = None
    """Column with its translation (else: target, tgt, translation, 译文, ..., or the second code)."""
    alternatives: str | None = None
    """Column with lists of more translations (else: alternatives, references, ...)."""
    split: str | None = None
    """Column that says train, validation (or dev) or test (else: split; else rows are split by hash)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TranslateSettings(TuneSettings):
    """Translation: an encoder and a decoder from scratch, or a given encoder-decoder trained further."""

    columns: PairColumns = field(default_factory=PairColumns)
    """Where source, target, other translations and split are."""
    reverse: bool = False
    """Translate from target to source."""
    alternatives: bool = True
    """Learn from the other translations of a row too."""
    vocab_size: Annotated[int, Field(ge=261)] = 8000
    """Size of the tokenizer that is trained on both sides when none is given."""
    schedule: Literal["cosine", "linear", "constant", "wsd", "inverse_sqrt", "one_cycle", "plateau"] = (
        "inverse_sqrt"
    )
    """How the learning rate goes on after its rise: as in the Transformer's paper."""
    beta2: Decay = 0.98
    """Adam's decay of the mean squared gradient; arXiv:1706.03762 section 5.3."""
    weight_decay: NotNegative = 0.0
    """Decay of matrices apart from the gradient (decoupled)."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the target spread over all tokens; arXiv:1706.03762 section 5.4."""
    tokens_per_batch: Count = 4096
    """Places in a micro-batch, sources and targets together."""
    max_len: Count = 128
    """Pairs with a side of more tokens are set aside."""
    average_checkpoints: Annotated[int, Field(ge=0)] = 5
    """Save the mean of so many of the last checkpoints where it scores better than the best one of them;
    0 or 1: do not."""
    sample_rows: Annotated[int, Field(ge=0)] = 200
    """Validation rows that are translated, greedily, at each look, for BLEU and chrF; 0: none."""
