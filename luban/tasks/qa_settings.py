"""Settings of extractive question answering."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from luban.errors import ConfigError
from luban.tasks.tune_settings import TuneSettings
from luban.train.settings import Count, CountOrNone, Share


@dataclass(frozen=True, kw_only=True, slots=True)
class QaColumns:
    """Which columns of a table hold what; null finds them by their usual names."""

    question: str | None = None
    """Column with the question (else: question, query, 问题, ...)."""
    context: str | None = None
    """Column with the text that is asked (else: context, passage, 原文, 文章, ...)."""
    answers: str | None = None
    """Column with the answers (else: answers, answer, 答案, ...)."""
    split: str | None = None
    """Column that says train, validation (or dev) or test (else: split; else contexts are split by hash)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QaSettings(TuneSettings):
    """Question answering: where in a text the answer stands, or that it is not there."""

    columns: QaColumns = field(default_factory=QaColumns)
    """Where question, context, answers and split are."""
    max_len: Count = 384
    """Tokens in a window: question, its frame, and a part of the context."""
    overlap: CountOrNone = 128
    """Tokens that two neighbouring windows of a context share; at most half of a window's part of it."""
    max_question: Count = 64
    """Longer questions are cut to so many tokens."""
    max_answer: CountOrNone = 0
    """Longest answer in tokens; 0: as long as all but the longest hundredth of the training answers."""
    match_segments: Annotated[int, Field(ge=0, le=4)] = 0
    """Kinds of context tokens that the stem tells apart by how much of what is around them stands in the
    question too: 1, the token; 2, it and a neighbour; and so on. 0: none, as in BERT. A given model
    learns new rows for them. (The idea: arXiv:1704.00051, section 3.2.)"""
    null_windows: Share = 1.0
    """Share of the windows without an answer that train, where another window of the row has it."""
    train_rows: Count | None = None
    """Use only so many training rows, drawn by the seed."""

    def __post_init__(self) -> None:
        TuneSettings.__post_init__(self)
        if self.max_question + 8 > self.max_len:
            raise ConfigError(
                f"max_question = {self.max_question} leaves no room in max_len = {self.max_len}",
                fix="lower max_question, or raise max_len",
            )
