"""Settings of instruction tuning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from luban.tasks.tune_settings import TuneSettings
from luban.train.settings import Count, NotNegative
from luban.tune.settings import MethodName


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatSettings(TuneSettings):
    """Instruction tuning on conversations, by the model's own chat template; answers alone are learnt."""

    template: Literal[
        "", "chatml", "llama2", "llama3", "qwen2.5", "qwen3", "smollm2", "mistral", "gemma", "luban"
    ] = ""
    """A chat format for a model that has none, or instead of its own; "" takes the model's."""
    method: MethodName = "lora"
    """What learns: low-rank adapters, every weight, ...; see docs/en/tuning.md."""
    weight_decay: NotNegative = 0.0
    """Decay of matrices apart from the gradient (decoupled)."""
    tokens_per_batch: Count = 2048
    """Places in a micro-batch; conversations are packed into its lines and never see each other."""
    max_len: Count = 2048
    """Conversations of more tokens are set aside, or of more than the model can read."""
    name: str = ""
    """What {{name}} stands for in the rows: how the model calls itself."""
    author: str = ""
    """What {{author}} stands for in the rows."""
    take: tuple[Annotated[int, Field(ge=0)], ...] = ()
    """Most conversations to take of each file, in the order of --data; 0 or no number: all."""
    validation: Annotated[float, Field(gt=0, le=0.5)] = 0.1
    """Share of the conversations held out where no row says which are."""
