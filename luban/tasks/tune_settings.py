"""Settings that all training on a task's rows has in common."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from luban.errors import ConfigError
from luban.tasks.model_settings import ModelSettings, SurgerySettings
from luban.train.settings import Count, Positive, TrainSettings
from luban.tune.settings import BottleneckSettings, FrontSettings, LoraSettings, MethodName, QuantiseSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class TuneSettings(TrainSettings):
    """Training on the rows of a task, from a model folder or from scratch."""

    model: ModelSettings | None = None
    """What to build when no model folder is given; null chooses by the amount of data."""
    surgery: SurgerySettings = field(default_factory=SurgerySettings)
    """What to change in the model folder, if one is given."""
    method: MethodName = "full"
    """What learns: every weight, the head alone, low-rank adapters, ...; see docs/en/tuning.md."""
    lora: LoraSettings = field(default_factory=LoraSettings)
    """The adapters; they are saved apart, and folded into the model that is saved."""
    quantise: QuantiseSettings = field(default_factory=QuantiseSettings)
    """qlora: how the matrices that rest are stored while the adapters learn."""
    front: FrontSettings = field(default_factory=FrontSettings)
    """prompt, prefix: the vectors in front of each text."""
    bottleneck: BottleneckSettings = field(default_factory=BottleneckSettings)
    """bottleneck: the small MLPs."""
    freeze: tuple[str, ...] = ()
    """Patterns of parameter names that stay as they are, such as "stem.*" or "trunk.blocks.0.*"."""
    freeze_layers: Annotated[int, Field(ge=0)] = 0
    """The embeddings and so many blocks, from the bottom up, stay as they are; 0: all learn."""
    thaw_every_steps: Annotated[int, Field(ge=0)] = 0
    """Gradual unfreezing: the head learns from the first step, and every so many steps a block more, from
    the top down, the embeddings last (arXiv:1801.06146); 0: everything from the first step."""
    epochs: Positive | None = None
    """Passes over the training rows; null chooses, unless `steps` is given."""
    steps: Annotated[int, Field(ge=0)] = 0
    """Optimizer steps, instead of `epochs`; 0: count in epochs."""
    lr: Annotated[float, Field(ge=0, lt=10)] = 0.0
    """Peak learning rate; 0: chosen by the task, the method and the model's width."""
    evaluate_every_steps: Annotated[int, Field(ge=0)] = 0
    """Steps between two looks at the validation rows; 0: after each epoch."""
    save_every_steps: Annotated[int, Field(ge=0)] = 0
    """Steps between two checkpoints to resume from; 0: after each epoch."""
    tokens_per_batch: Count = 2048
    """Tokens in a micro-batch; rows of like length share one, so that little is padding."""
    max_len: Count = 128
    """Most tokens of a row."""
    vocab_size: Annotated[int, Field(ge=260)] = 8000
    """Size of the tokenizer trained on the rows when none is given."""
    head_lr_scale: Positive = 1.0
    """The new head's learning rate, as a multiple of lr."""
    layer_lr_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Each layer below the head learns at this share of the rate of the one above it."""

    def __post_init__(self) -> None:
        TrainSettings.__post_init__(self)
        one_length(self.epochs, self.steps)


def one_length(epochs: float | None, steps: int) -> None:
    """Refuse a length that is given twice."""
    if steps and epochs:
        raise ConfigError(
            f"epochs = {epochs:g} and steps = {steps} contradict each other", fix="give one of them"
        )
