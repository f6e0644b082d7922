"""Settings of learning from preferences and of reward models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from luban.tasks.tune_settings import TuneSettings
from luban.train.settings import Count, NotNegative

Part = Annotated[float, Field(gt=0, le=0.5)]


@dataclass(frozen=True, kw_only=True, slots=True)
class PreferSettings(TuneSettings):
    """Learning from preferences: of two answers one is better, or of one it is known whether it is good."""

    loss: Literal["dpo", "ipo", "kto", "orpo", "simpo"] = "dpo"
    """dpo, ipo, orpo, simpo learn from pairs; kto from single answers with a label, or from pairs taken
    apart. orpo and simpo ask for no reference; see luban/objectives/preference.py and unpaired.py."""
    beta: NotNegative = 0.0
    """β of dpo, kto and simpo, τ of ipo, λ of orpo; 0: 0.1, and 2 for simpo."""
    margin: NotNegative = 1.0
    """γ of simpo: by how much the better answer should win."""
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    """dpo: share of the pairs thought to be labelled the wrong way round."""
    per_token: bool = False
    """ipo: compare means over tokens, not sums, so that τ suits answers of any length."""
    desirable_weight: NotNegative = 1.0
    """kto: what a good answer counts."""
    undesirable_weight: NotNegative = 1.0
    """kto: what a bad answer counts."""
    kl_group: Annotated[int, Field(ge=2)] = 4
    """kto: rows that share one estimate of how far the model has moved, made of as many others."""
    validation: Part = 0.1
    """Share of the prompts held out, where the rows have no split."""
    method: Literal["full", "lora", "dora"] = "lora"
    """What learns: every weight, or low-rank adapters."""
    weight_decay: NotNegative = 0.0
    """Decay of matrices apart from the gradient (decoupled)."""
    tokens_per_batch: Count = 2048
    """Places in a micro-batch, of both answers together; pairs of like length share one."""
    max_len: Count = 1024
    """Rows with an answer that ends beyond so many tokens, prompt included, are set aside."""

    @property
    def strength(self) -> float:
        """Return β, chosen where it was left open."""
        return self.beta or (2.0 if self.loss == "simpo" else 0.1)


@dataclass(frozen=True, kw_only=True, slots=True)
class RewardSettings(TuneSettings):
    """A reward model: one score for an answer, learnt from pairs (Bradley and Terry)."""

    validation: Part = 0.1
    """Share of the prompts held out, where the rows have no split."""
    method: Literal["full", "lora", "head"] = "full"
    """What learns beside the new head: every weight, low-rank adapters, or nothing."""
    tokens_per_batch: Count = 2048
    """Places in a micro-batch, of both answers together; pairs of like length share one."""
    max_len: Count = 1024
    """Rows with an answer that ends beyond so many tokens, prompt included, are set aside."""
