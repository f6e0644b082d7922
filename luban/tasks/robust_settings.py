"""Which perturbed copies of the rows are scored beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

Perturbation = Literal["typos", "case", "width", "script", "paraphrase"]


@dataclass(frozen=True, kw_only=True, slots=True)
class RobustSettings:
    """How rows are perturbed, so that the loss of score can be told."""

    kinds: tuple[Perturbation, ...] = ()
    """typos: slips of the keyboard, in Chinese wrong, doubled or lost characters; case: upper or lower;
    width: spaces and the width of punctuation; script: traditional or simplified Chinese; paraphrase: the
    same said otherwise, by rules or from a file."""
    share: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Share of the words, or Chinese characters, that typos and paraphrases change where they can."""
    seed: Annotated[int, Field(ge=0)] = 1
    """Decides what is changed."""
    paraphrases: str | None = None
    """File of rows {text, paraphrases: [...]}; a text that it does not have is paraphrased by rules."""
