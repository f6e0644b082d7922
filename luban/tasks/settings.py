"""Settings of the stages that train, score and check models."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from luban.data.mixture_settings import MixtureSettings
from luban.errors import ConfigError
from luban.tasks.code_settings import CodeSettings
from luban.tasks.model_settings import ModelSettings, SurgerySettings
from luban.tasks.robust_settings import RobustSettings
from luban.tasks.tune_settings import one_length
from luban.train.settings import Count, NotNegative, Positive, Share, TrainSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class CorruptionSettings:
    """What the objectives other than next_token hide from the model."""

    masked_share: Annotated[float, Field(gt=0, lt=1)] = 0.15
    """masked: share of a window's tokens to predict."""
    whole_words: bool = False
    """masked: hide all tokens of a word, or none."""
    span_share: Annotated[float, Field(gt=0, lt=1)] = 0.15
    """span_corruption: share of a document's tokens that is cut out."""
    span_length: Annotated[float, Field(ge=1)] = 3.0
    """span_corruption: mean tokens in a span."""
    n_sentinels: Annotated[int, Field(ge=2)] = 100
    """span_corruption: ids added at the end of a new model's vocabulary to mark the spans of a document,
    counted down from the last, unless the tokenizer has <extra_id_0> and so on."""
    infill_share: Share = 0.5
    """fill_in_the_middle: share of the documents that have their middle moved to the end."""
    spm_share: Share = 0.5
    """fill_in_the_middle: share of those that show the suffix before the prefix."""
    line_share: Share = 0.0
    """fill_in_the_middle: share of those whose middle is the rest of a line; else it is any part."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PretrainSettings(TrainSettings):
    """Training on token shards without labels, from scratch or from a model folder."""

    model: ModelSettings = field(default_factory=ModelSettings)
    """What to build when no model folder is given."""
    surgery: SurgerySettings = field(default_factory=SurgerySettings)
    """What to change in the model folder, if one is given."""
    objective: Literal["auto", "next_token", "masked", "span_corruption", "fill_in_the_middle"] = "auto"
    """What to predict; auto: next_token by a model that sees the past, masked by one that sees all,
    span_corruption by one with an encoder and a decoder."""
    corruption: CorruptionSettings = field(default_factory=CorruptionSettings)
    """What is hidden."""
    freeze: tuple[str, ...] = ()
    """Patterns of parameter names that stay as they are, such as "stem.*" or "trunk.blocks.0.*"."""
    layer_lr_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Each layer below the head learns at this share of the rate of the one above it."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the target spread over all tokens."""
    context: Count = 256
    """Tokens in a window; documents in one window never see each other."""
    batch_size: Count = 16
    """Windows in a micro-batch."""
    mixture: MixtureSettings = field(default_factory=MixtureSettings)
    """How the parts of the data are mixed, and when."""
    validation_windows: Count = 128
    """Look at no more than so many windows of the validation split, spread evenly over it."""
    prompts: tuple[str, ...] = ()
    """Prompts sampled at each evaluation, so that the report shows the model learn."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ColumnSettings:
    """Which columns of a table hold what; null finds them by their usual names."""

    text: str | None = None
    """Column with the text (else: text, sentence, content, review, 文本, ...)."""
    label: str | None = None
    """Column with the label (else: label, class, category, sentiment, 标签, ...)."""
    split: str | None = None
    """Column that says train, validation (or dev) or test (else: split; else rows are split by hash)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VectorsSettings(TrainSettings):
    """Word vectors from texts: skip-gram with negative sampling."""

    unit: Literal["auto", "word", "character"] = "auto"
    """What gets a vector: words between spaces, or single characters of scripts without spaces; auto
    takes characters for Chinese that spaces do not divide into words."""
    lowercase: bool = True
    """Whether The and the are one word."""
    min_count: Count = 5
    """Leave out words that occur less often."""
    max_words: Count = 200_000
    """Keep only so many words, the most frequent ones."""
    dim: Count = 100
    """Width of a vector."""
    window: Count = 5
    """Farthest neighbour to be told; each word reaches a random distance up to it."""
    negatives: Count = 5
    """Noise words for each true neighbour."""
    subsample: NotNegative = 1e-3
    """Words with a larger share of the text are dropped at random, the more the more frequent; 0: none."""
    validation: Annotated[float, Field(gt=0, le=0.5)] = 0.02
    """Share of the passages held out to see when learning stops."""
    epochs: Positive | None = None
    """Passes over the text; null chooses, unless `steps` is given."""
    steps: Annotated[int, Field(ge=0)] = 0
    """Optimizer steps, instead of `epochs`; 0: count in epochs."""
    lr: Annotated[float, Field(gt=0, lt=10)] = 5e-2
    """Peak learning rate."""
    min_lr_share: Share = 0.02
    """Learning rate at the last step, as a share of the peak."""
    warmup_share: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Share of the steps in which the learning rate rises to its peak."""
    weight_decay: NotNegative = 0.0
    """Decoupled decay of the output vectors."""
    evaluate_every_steps: Annotated[int, Field(ge=0)] = 0
    """Steps between two looks at the passages held out; 0: ten looks in all."""
    save_every_steps: Annotated[int, Field(ge=0)] = 0
    """Steps between two checkpoints to resume from; 0: ten in all."""
    context: Annotated[int, Field(ge=2)] = 64
    """Words in a row; noise words are shared by a row."""
    batch_size: Count = 64
    """Rows in a micro-batch."""

    def __post_init__(self) -> None:
        TrainSettings.__post_init__(self)
        one_length(self.epochs, self.steps)


@dataclass(frozen=True, kw_only=True, slots=True)
class BagSettings:
    """Bag of n-grams with logistic regression: the floor that a model must beat."""

    columns: ColumnSettings = field(default_factory=ColumnSettings)
    """Where text, label and split are."""
    max_features: Count = 300_000
    """Keep only so many n-grams of words, and so many of characters, the most frequent ones."""
    words: Annotated[int, Field(ge=0, le=5)] = 2
    """Longest n-gram in words; 0: none. Chinese and Japanese are counted in characters, if at all."""
    characters: Annotated[int, Field(ge=0, le=8)] | None = None
    """Longest n-gram in characters; 0: none; null: 4 for Chinese and Japanese, else 5 for two labels, and
    none for more, where they would cost minutes."""
    regularisation: Positive | None = None
    """Inverse strength C of the L2 penalty; null: the one of 1, 4, 16 with the lowest validation loss."""
    class_weights: Literal["none", "balanced"] = "balanced"
    """balanced: a row counts the more the rarer its class is."""

    def __post_init__(self) -> None:
        if self.words == 0 and not self.characters:
            raise ConfigError(
                f"words = 0 and characters = {self.characters} may leave nothing to count",
                fix="set one of them",
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreSettings:
    """Scores with intervals on one split of labelled rows, or bits per byte on token shards."""

    columns: ColumnSettings = field(default_factory=ColumnSettings)
    """Where text, label and split are."""
    split: Literal["test", "validation", "train"] = "test"
    """Which rows to score."""
    rows: Count | None = None
    """Score only so many rows, spread evenly over the file; for multiple choice and minimal pairs."""
    choices: Literal["text", "letter"] = "text"
    """Multiple choice: what the model must say, a choice's own words, or its letter of a list."""
    robust: RobustSettings = field(default_factory=RobustSettings)
    """Perturbed copies of the rows that are scored beside them."""
    domains: tuple[str, ...] = ()
    """Names of the out-of-domain sets, in the order in which they are given."""
    code: CodeSettings = field(default_factory=CodeSettings)
    """How programs are written and tried."""
    resamples: Count = 1000
    """Bootstrap resamples behind an interval."""
    confidence: Share = 0.95
    """Share of resamples inside the interval."""
    seed: Annotated[int, Field(ge=0)] = 1
    """Decides the resamples."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GoldenSettings:
    """Replay a model's golden file against the copies that people will use."""

    copies: tuple[Literal["reloaded", "served", "transformers"], ...] = ("reloaded", "served")
    """Which copies to check."""
    tolerance: Positive = 1e-4
    """Largest difference of a logit that passes."""
