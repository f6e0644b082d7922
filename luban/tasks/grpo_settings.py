"""Settings of learning from rewards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from luban.errors import ConfigError
from luban.tasks.tune_settings import TuneSettings
from luban.train.settings import Count, NotNegative


@dataclass(frozen=True, kw_only=True, slots=True)
class GrpoSettings(TuneSettings):
    """Learning from rewards: the model answers each prompt several times, and better answers get likelier."""

    reward: tuple[str, ...] = ("number",)
    """What is rewarded; several add up: number, marked_number, format_number, exact, contains,
    matches=PATTERN, length=CHARACTERS (luban/tasks/rewards.py), or FILE.py:function."""
    reward_weights: tuple[float, ...] = ()
    """What each reward is multiplied by; empty: all by 1."""
    allow_code: bool = False
    """Whether FILE.py:function may run; it runs in this process, with your rights."""
    group: Annotated[int, Field(ge=2)] = 8
    """Answers to each prompt."""
    prompts_per_step: Count = 4
    """Prompts that are answered together."""
    updates_per_rollout: Count = 1
    """Steps that learn from the same answers; the ratio is clipped from the second on."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Of the answers that are learnt from."""
    max_new_tokens: Count = 128
    """Longest answer."""
    clip: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """A token's ratio counts up to 1 ± this."""
    clip_high: NotNegative = 0.0
    """How far above 1 a ratio counts, where that is another; 0: as `clip`."""
    kl: NotNegative = 0.0
    """β: what the divergence from the start model costs."""
    variant: Literal["grpo", "dr_grpo"] = "grpo"
    """grpo: advantages in standard deviations, each answer the mean of its tokens (arXiv:2402.03300);
    dr_grpo: neither, but for the division by max_new_tokens (arXiv:2503.20783)."""
    prompt: str = "{question}"
    """How a row without messages is asked: its columns stand in braces."""
    system: str = ""
    """Instruction before each prompt; empty: none."""
    validation: Annotated[float, Field(gt=0, le=0.5)] = 0.1
    """Share of the prompts held out, where the rows have no split."""
    validation_prompts: Count = 64
    """Held-out prompts answered at each look, by the likeliest tokens."""
    method: Literal["full", "lora", "dora"] = "lora"
    """What learns: every weight, or low-rank adapters."""
    weight_decay: NotNegative = 0.0
    """Decay of matrices apart from the gradient (decoupled)."""
    max_len: Count = 512
    """Longer prompts are set aside."""
    compile: Literal["auto", "on", "off"] = "off"
    """Compile the blocks; answers of ever other lengths make that dear."""
    best_by: str = "reward"
    """Validation score that decides which weights are best."""

    def __post_init__(self) -> None:
        TuneSettings.__post_init__(self)
        if not self.reward:
            raise ConfigError(
                "reward is empty, so nothing is worth learning", fix="name one: reward=[number]"
            )
        if self.reward_weights and len(self.reward_weights) != len(self.reward):
            raise ConfigError(
                f"{len(self.reward)} rewards have {len(self.reward_weights)} reward_weights",
                fix="give one for each",
            )
