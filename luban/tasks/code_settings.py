"""Settings of scoring programs that a model writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from luban.errors import ConfigError

Count = Annotated[int, Field(ge=1)]
USUAL_KS = (1, 10, 100)
DRAWN_AT = 0.8
"""Temperature of several samples, of arXiv:2107.03374 section 3.2 for pass@100."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CodeSettings:
    """How programs are written and tried: HumanEval, MBPP, and rows like theirs."""

    ask: Literal["continue", "chat", "reference"] = "continue"
    """continue: the model goes on with the beginning of a program; chat: it is asked in words, and the
    code block of its answer counts; reference: the solutions in the data are tried, which shows whether
    data and machine are fit."""
    samples: Count = 1
    """Programs for each problem; the signature names them."""
    k: tuple[Count, ...] = ()
    """For which k pass@k is told; empty: those of 1, 10 and 100 for which there are samples."""
    temperature: Annotated[float, Field(ge=0)] | None = None
    """0: the likeliest token always; null: 0 for one sample, 0.8 for several."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 0.95
    """Choose among the tokens that hold this share of the probability."""
    max_new_tokens: Count = 384
    """Longest program."""
    batch_size: Count = 16
    """Programs written at a time."""
    workers: Count = 2
    """Programs tried at a time."""
    seconds: Annotated[float, Field(gt=0)] = 10.0
    """Time of one program with its tests."""
    memory_bytes: Count = 1 << 30
    """Memory of one program."""
    unsafe_exec: bool = False
    """Run programs WITHOUT a sandbox, with all your rights; see docs/en/code.md."""

    def __post_init__(self) -> None:
        if too_large := [k for k in self.k if k > self.samples]:
            raise ConfigError(
                f"pass@{too_large[0]} needs {too_large[0]} samples, and samples = {self.samples}",
                fix=f"set samples to at least {max(self.k)}, or leave k={too_large[0]} out",
            )

    @property
    def ks(self) -> tuple[int, ...]:
        """The k for which pass@k is told."""
        return self.k or tuple(k for k in USUAL_KS if k <= self.samples)

    @property
    def drawn_at(self) -> float:
        """The temperature."""
        if self.temperature is not None:
            return self.temperature
        return 0.0 if self.samples == 1 else DRAWN_AT
