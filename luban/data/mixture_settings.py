"""Settings that say which share of the tokens comes from where, and when."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from luban.errors import ConfigError

Count = Annotated[int, Field(ge=1)]
Weight = Annotated[float, Field(ge=0)]


@dataclass(frozen=True, kw_only=True, slots=True)
class PhaseSettings:
    """A part of the training with weights of its own."""

    weights: dict[str, Weight]
    """Parts of the data and the shares of the tokens that they give, in any unit."""
    until_step: Count | None = None
    """Last step of the phase; null, for the last phase: it goes on to the end."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MixtureSettings:
    """How the windows of several parts of the data are mixed. Without weights, each window comes once
    an epoch."""

    by: str = "folder"
    """What parts the data: folder, source, language, licence; or length, or a column that the shards
    keep, whose values are cut into `buckets`."""
    weights: dict[str, Weight] = field(default_factory=dict)
    """Parts and their shares of the tokens, in any unit; every part must be named, 0 leaves it out."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Without weights: each part's share is its size to the power 1/temperature; large ones make the
    parts alike (arXiv:1911.02116 section 3.1)."""
    buckets: Annotated[int, Field(ge=2, le=100)] = 4
    """Parts by length or a column: so many of about as many tokens, named 1 (lowest), 2, ..."""
    phases: tuple[PhaseSettings, ...] = ()
    """Instead of weights: a curriculum."""
    blend: bool = False
    """Let the weights move evenly from each phase's to the next's, instead of changing at its end."""
    max_epochs: Annotated[float, Field(gt=0)] = 4.0
    """Warn when a part is read more often: more repetition than this is worth ever less
    (arXiv:2305.16264)."""

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        given = [n for n, v in (("weights", self.weights), ("phases", self.phases)) if v]
        given += ["temperature"] if self.temperature != 1 else []
        if len(given) > 1:
            raise ConfigError(
                f"mixture.{given[0]} and mixture.{given[1]} both say how much of each part is read",
                fix="give one of them",
            )
        ends = [phase.until_step for phase in self.phases]
        grow = [0, *(end or 0 for end in ends[:-1])]
        if any(a >= b for a, b in zip(grow, grow[1:], strict=False)):
            raise ConfigError(
                f"mixture.phases end at the steps {ends}, which do not grow",
                fix="give every phase but the last an until_step above that of the one before",
            )
        if ends and ends[-1] is not None:
            raise ConfigError(
                f"mixture.phases end at step {ends[-1]}, and training may go on",
                fix="leave until_step out of the last phase",
            )

    @property
    def is_plain(self) -> bool:
        """Whether every window simply comes once an epoch."""
        return not (self.weights or self.phases) and self.temperature == 1
