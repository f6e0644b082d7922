"""Settings of a training run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainSettings:
    """How long and how fast to descend, and what to keep on the way."""

    steps: Count = 300
    """Optimizer steps."""
    lr: Annotated[float, Field(gt=0, lt=10)] = 1e-3
    """Peak learning rate."""
    min_lr_share: Share = 0.1
    """Learning rate at the last step, as a share of the peak (cosine decay in between)."""
    warmup_share: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the steps in which the learning rate rises to its peak."""
    weight_decay: NotNegative = 0.1
    """Decoupled decay of matrices; norms, biases and embeddings are never decayed."""
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """AdamW's decay of the mean gradient."""
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.95
    """AdamW's decay of the mean squared gradient."""
    max_grad_norm: Positive = 1.0
    """Gradients with a larger norm are scaled down to it."""
    n_micro_batches: Count = 1
    """Forward passes that make one step; their gradients add up exactly."""
    evaluate_every_steps: Count = 50
    """Steps between two looks at the validation split."""
    patience: Annotated[int, Field(ge=0)] = 0
    """Stop after so many looks without a better validation loss; 0: never."""
    save_every_steps: Count = 50
    """Steps between two checkpoints to resume from."""
    log_every_steps: Count = 10
    """Steps between two lines of progress."""
    seed: Annotated[int, Field(ge=0)] = 1
    """Decides initial weights, data order and dropout."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, mps, ..."""
    threads: Annotated[int, Field(ge=0)] = 0
    """CPU threads; 0: every core this process may use."""

    @property
    def warmup_steps(self) -> int:
        """Steps in which the learning rate rises to its peak."""
        return round(self.warmup_share * self.steps)
