"""Settings of training on source files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from luban.tasks.settings import CorruptionSettings, PretrainSettings
from luban.train.settings import Count


@dataclass(frozen=True, kw_only=True, slots=True)
class CodeTrainSettings(PretrainSettings):
    """Pre-training on token shards of source files, so that a model completes code from both sides."""

    objective: Literal["auto", "next_token", "masked", "span_corruption", "fill_in_the_middle"] = (
        "fill_in_the_middle"
    )
    """What to predict; next_token makes a model that reads only what stands before a place."""
    corruption: CorruptionSettings = field(default_factory=lambda: CorruptionSettings(line_share=0.5))
    """What is hidden; half of the middles are the rest of a line, as an editor asks for it."""
    context: Count = 512
    """Tokens in a window; documents in one window never see each other."""
