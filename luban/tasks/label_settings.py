"""Settings of the stage that labels documents, and the form of a file of rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from luban.data.settings import Count, Share, WorkSettings
from luban.errors import ConfigError

Positive = Annotated[float, Field(gt=0)]


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelSettings(WorkSettings):
    """A label for each document, by rules that vote or by a classifier, and which of them to keep."""

    keep: tuple[str, ...] = ()
    """Keep only documents of these labels; empty keeps all."""
    min_confidence: Share | None = None
    """Share of the votes, or of the probability, that the labels of `keep` need together; left out: 0.5."""
    model_weight: Positive = 1.0
    """Weight of the model's vote beside those of the rules, when there are both."""
    gold: str | None = None
    """Column with true labels, to count how often rules and model are right; it is not read otherwise."""
    column: str = "label"
    """Column to write the label to."""
    batch_size: Count = 256
    """Documents that the model reads at once."""

    def __post_init__(self) -> None:
        """Refuse a threshold for nothing, and a label written over the truth."""
        if self.min_confidence is not None and not self.keep:
            raise ConfigError(
                f"label.min_confidence = {self.min_confidence} has no labels to hold for",
                fix="name them: label.keep=[good]",
            )
        if self.gold == self.column:
            raise ConfigError(
                f"label.gold and label.column are both {self.column}",
                fix="write to another: label.column=NAME",
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """Votes for its label on a document for which all of its conditions hold, and is silent on others.

    A file of them: rules: [{label: bad, words: [casino, 博彩]}]. Where the votes for two labels weigh the
    same, the rule that stands first decides.
    """

    label: str
    """Label that it votes for."""
    name: str | None = None
    """What reports call it; left out: its label and number."""
    weight: Positive = 1.0
    """What its vote counts."""
    any: tuple[str, ...] = ()
    """Regular expressions of which one must be found."""
    all: tuple[str, ...] = ()
    """Regular expressions that must all be found."""
    none: tuple[str, ...] = ()
    """Regular expressions of which none may be found."""
    words: tuple[str, ...] = ()
    """Words, of which `min_words` different ones must occur: whole ones where there are spaces between."""
    min_words: Count = 1
    """See words."""
    min_chars: Annotated[int, Field(ge=0)] | None = None
    """Characters that the text must have."""
    max_chars: Annotated[int, Field(ge=0)] | None = None
    """Characters that the text may have."""
    languages: tuple[str, ...] = ()
    """Languages, as ISO 639-1 codes, that the document must be in one of."""
    source: str | None = None
    """Pattern that the source must match, such as forum/*."""
    match_case: bool = False
    """Whether A and a differ, in expressions and words."""
