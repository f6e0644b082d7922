"""Settings of a training run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from luban.errors import ConfigError

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
CountOrNone = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Decay = Annotated[float, Field(ge=0, lt=1)]

Proof = Literal[
    "packed", "accumulated", "sampled", "resumed", "compiled", "recomputed", "adapted", "exported"
]
"""What `luban certify` proves of a run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ParallelSettings:
    """How the processes of a job share the work; one process ignores it."""

    shard: CountOrNone = 1
    """Processes that share one copy of weights, gradients and optimizer state (FSDP2): 1, each holds a
    whole copy; 0, all."""
    tensor: Count = 1
    """Processes that share every matrix product."""
    timeout_seconds: Positive = 600.0
    """How long a process waits for the others before it gives up."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainSettings:
    """How long and how fast to descend, and what to keep on the way."""

    steps: Count = 300
    """Optimizer steps."""
    lr: Annotated[float, Field(gt=0, lt=10)] = 1e-3
    """Peak learning rate."""
    schedule: Literal["cosine", "linear", "constant", "wsd", "inverse_sqrt", "one_cycle", "plateau"] = (
        "cosine"
    )
    """How the learning rate goes on after its rise: see luban/optim/schedules.py."""
    min_lr_share: Share = 0.1
    """Learning rate at the last step, as a share of the peak."""
    warmup_share: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the steps in which the learning rate rises to its peak."""
    decline_share: Share = 0.2
    """wsd: share of the steps, at the end, in which the learning rate falls."""
    plateau_factor: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """plateau: what the learning rate is multiplied with when the validation score stays."""
    plateau_looks: Count = 2
    """plateau: after so many looks without a better score."""
    optimizer: Literal["adamw", "adam", "sgd", "adafactor", "muon"] = "adamw"
    """Rule of the step; muon is for matrices, with AdamW for the rest: see luban/optim/build.py."""
    weight_decay: NotNegative = 0.1
    """Decay of matrices apart from the gradient (decoupled); norms, biases and embeddings do not decay."""
    decay_embeddings: bool = False
    """Whether embeddings decay too."""
    l2: NotNegative = 0.0
    """Added to the gradient, so many times the weight: the L2 penalty, which adaptive optimizers rescale."""
    l1: NotNegative = 0.0
    """Added to the gradient, so many times the weight's sign: the L1 penalty, which makes weights zero."""
    beta1: Decay = 0.9
    """Adam's decay of the mean gradient."""
    beta2: Decay = 0.95
    """Adam's decay of the mean squared gradient."""
    momentum: Decay = 0.95
    """sgd, muon: decay of the mean gradient."""
    nesterov: bool = True
    """sgd, muon: look ahead along the momentum."""
    max_grad_norm: Positive = 1.0
    """Gradients with a larger norm are scaled down to it."""
    grad_noise: NotNegative = 0.0
    """Variance of the noise added to gradients at the first step; it fades (arXiv:1511.06807)."""
    max_skipped_steps: CountOrNone = 3
    """Steps without a finite loss and gradient are left out; after more than so many the run stops."""
    ema_decay: Decay = 0.0
    """Keep a running mean of the weights with this decay; it is what is scored and saved. 0: do not."""
    n_micro_batches: Count = 1
    """Forward passes that make one step; their gradients add up exactly."""
    precision: Literal["auto", "float32", "bf16", "fp16"] = "auto"
    """Of matrix products; auto: bf16 where the device is fast at it, else float32. Weights stay float32."""
    recompute: Literal["none", "selective", "all"] = "none"
    """Activations to compute again in the backward pass, to hold fewer: all of a block, or only what is
    cheap (selective: all but matrix products and attention)."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Compile the blocks; auto: only where a short trial says that it pays within the steps planned."""
    evaluate_every_steps: Count = 50
    """Steps between two looks at the validation split."""
    look_first: bool = True
    """Look before the first step too, so that the run shows what it has gained."""
    best_by: str = ""
    """Validation score that decides which weights are best; empty: the task's first."""
    patience: CountOrNone = 0
    """Stop after so many looks without a better score; 0: never."""
    save_every_steps: Count = 50
    """Steps between two checkpoints to resume from."""
    keep_last: Count = 2
    """Newest checkpoints to keep."""
    log_every_steps: Count = 10
    """Steps between two lines of progress."""
    trackers: tuple[Literal["tensorboard", "trackio", "wandb"], ...] = ("tensorboard",)
    """Where curves go, beside metrics.jsonl."""
    parallel: ParallelSettings = field(default_factory=ParallelSettings)
    """How several processes share the work."""
    seed: CountOrNone = 1
    """Decides initial weights, data order and dropout."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, mps, ..."""
    threads: CountOrNone = 0
    """CPU threads; 0: every core this process may use."""
    on_change: Literal["refuse", "continue", "restart"] = "refuse"
    """What to do about an unfinished run in the same place whose settings, data or code were others:
    refuse, go on from its checkpoints under the new ones, or drop it."""
    unproven: tuple[Proof, ...] = ()
    """Properties that certify found broken and that this run goes without."""

    def __post_init__(self) -> None:
        if self.schedule == "wsd" and self.warmup_share + self.decline_share > 1:
            raise ConfigError(
                f"warmup_share = {self.warmup_share:g} and decline_share = {self.decline_share:g} are more "
                "than the whole run",
                fix="lower one of them",
            )

    @property
    def warmup_steps(self) -> int:
        """Steps in which the learning rate rises to its peak."""
        return round(self.warmup_share * self.steps)
