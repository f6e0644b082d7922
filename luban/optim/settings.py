"""What optimizers and schedules read from a run's settings."""

from __future__ import annotations

from typing import Protocol


class OptimSettings(Protocol):
    """The part of a run's settings that decides how far each step goes."""

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run."""
        ...

    @property
    def lr(self) -> float:
        """Peak learning rate."""
        ...

    @property
    def min_lr_share(self) -> float:
        """Learning rate of the last step, as a share of the peak."""
        ...

    @property
    def warmup_steps(self) -> int:
        """Steps in which the learning rate rises to its peak."""
        ...

    @property
    def weight_decay(self) -> float:
        """Decoupled decay of matrices."""
        ...

    @property
    def beta1(self) -> float:
        """Decay of the mean gradient."""
        ...

    @property
    def beta2(self) -> float:
        """Decay of the mean squared gradient."""
        ...

    @property
    def schedule(self) -> str:
        """How the learning rate goes on after its rise."""
        ...

    @property
    def decline_share(self) -> float:
        """wsd: share of the steps, at the end, in which the learning rate falls."""
        ...

    @property
    def optimizer(self) -> str:
        """Rule of the step."""
        ...

    @property
    def decay_embeddings(self) -> bool:
        """Whether embeddings decay too."""
        ...

    @property
    def momentum(self) -> float:
        """sgd, muon: decay of the mean gradient."""
        ...

    @property
    def nesterov(self) -> bool:
        """sgd, muon: look ahead along the momentum."""
        ...
