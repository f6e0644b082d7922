"""Settings of the tasks that say something about a whole text: one label, several, or a number."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from luban.data.settings import AugmentSettings
from luban.errors import ConfigError
from luban.tasks.model_settings import NotNegativeInt
from luban.tasks.settings import ColumnSettings
from luban.tasks.tune_settings import TuneSettings
from luban.train.settings import Count, Share


@dataclass(frozen=True, kw_only=True, slots=True)
class TextSettings(TuneSettings):
    """What all of them have: where the rows are, how long texts are read, and which rows train."""

    columns: ColumnSettings = field(default_factory=ColumnSettings)
    """Where text, label and split are."""
    patience: Annotated[int, Field(ge=0)] = 3
    """Stop after so many looks without a better validation loss; 0: never."""
    tokens_per_batch: Count = 1024
    """Tokens in a micro-batch; rows of like length share one, so that little is padding."""
    max_len: Count = 256
    """Most tokens of a text, or of one window of it."""
    long: Literal["cut", "windows"] = "cut"
    """Of texts longer than max_len: read the beginning, or all of it in windows. In training every window
    is a row with its text's label, and weighs so little that the text counts as one."""
    stride: NotNegativeInt = 0
    """windows: tokens from the start of one to the start of the next; 0: half a window."""
    window_pool: Literal["mean", "max"] = "mean"
    """windows: how their scores become the text's."""
    pool: Literal["first", "mean", "last"] | None = None
    """How token vectors become one; null: the mean in an encoder with a new head, else the family's habit."""
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    """What to change in training texts each time they are read."""
    train_rows: Count | None = None
    """Use only so many training rows, drawn by the seed."""
    folds: NotNegativeInt = 0
    """Parts of the rows that are not tested, for cross-validation; see `luban train --folds`."""
    fold: NotNegativeInt = 0
    """Which of them validates, from 1; the others train."""

    def __post_init__(self) -> None:
        TuneSettings.__post_init__(self)
        if bool(self.folds) != bool(self.fold) or self.folds == 1 or self.fold > self.folds:
            raise ConfigError(
                f"fold = {self.fold} of folds = {self.folds} is none",
                fix="set folds to at least 2 and fold to 1, ..., folds; or use luban train --folds K",
            )
        if self.stride > self.max_len:
            raise ConfigError(
                f"stride = {self.stride} would leave out what lies between windows of {self.max_len} tokens",
                fix=f"set stride to at most {self.max_len}",
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassifySettings(TextSettings):
    """Text classification: a model from scratch, or the trunk of a given one under a new head."""

    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the target spread over all classes."""
    class_weights: Literal["none", "balanced"] = "none"
    """balanced: a row counts the more the rarer its class is, rows / (classes × rows of the class)."""
    focal_gamma: Annotated[float, Field(ge=0, le=10)] = 0.0
    """Weight of easy rows is taken away by this power (focal loss, arXiv:1708.02002); 0: cross-entropy."""
    calibrate: bool = True
    """Divide scores by a temperature fitted on the validation rows, so that probabilities are honest
    (arXiv:1706.04599). The likeliest label stays."""
    threshold: Literal["half", "f1"] = "half"
    """Two classes: the second in order is said from a probability of one half on, or from that which gives
    the rarer class its best F1 on the validation rows."""
    abstain_precision: Share = 0.0
    """Say no label below the probability from which on so large a share of the validation rows is right;
    0: always say one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MultiLabelSettings(TextSettings):
    """Texts with several labels, or none: a yes or no for each."""

    balance: Literal["none", "balanced"] = "none"
    """balanced: a label counts the more where it is there, the rarer it is (at most 20 times)."""
    calibrate: bool = True
    """Divide scores by a temperature fitted on the validation rows."""
    threshold: Literal["half", "f1"] = "f1"
    """A label is said from a probability of one half on, or from its own best for F1 on validation rows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RegressSettings(TextSettings):
    """A number for each text, by squared error."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TagSettings(TuneSettings):
    """Names and other spans in texts: a tag for each token."""

    columns: ColumnSettings = field(default_factory=ColumnSettings)
    """Where text, spans and split are."""
    patience: Annotated[int, Field(ge=0)] = 3
    """Stop after so many looks without a better validation loss; 0: never."""
    max_len: Count = 256
    """Most tokens of a window; longer texts are read in windows that overlap by a quarter."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the target spread over all tags."""
    train_rows: Count | None = None
    """Use only so many training rows, drawn by the seed."""
    folds: NotNegativeInt = 0
    """Parts of the rows that are not tested, for cross-validation; see `luban train --folds`."""
    fold: NotNegativeInt = 0
    """Which of them validates, from 1; the others train."""
