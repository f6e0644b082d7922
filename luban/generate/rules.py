"""What is done to scores before a token is chosen: penalties for repetition, then rules of what may come.

The order is that of `adjusted`: repetition penalty, frequency and presence penalties, n-grams that
may not come again, and the rules in theirs. Temperature, top-k, top-p and min-p follow in `sampling`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from luban.errors import DataError
from luban.generate.settings import SamplingSettings

Ids = Sequence[int]
Rule = Callable[[Tensor, Sequence[Ids]], Tensor]
"""rule(scores (B, V), ids that each row has written after its prompt) -> scores; -inf forbids a token."""


@dataclass(frozen=True, slots=True)
class Suppressed:
    """A rule: these tokens are never written, nor those of `first` as a row's first."""

    always: Ids = ()
    first: Ids = ()

    def __call__(self, scores: Tensor, written: Sequence[Ids]) -> Tensor:
        """Forbid them in (B, V)."""
        scores = scores.clone()
        scores[:, list(self.always)] = -torch.inf
        begins = [row for row, ids in enumerate(written) if not ids]
        if begins and self.first:
            scores[torch.tensor(begins)[:, None], torch.tensor(self.first)] = -torch.inf
        return scores


def adjusted(
    scores: Tensor,
    prompts: Sequence[Ids],
    written: Sequence[Ids],
    settings: SamplingSettings,
    rules: Sequence[Rule] = (),
) -> Tensor:
    """Return the scores (B, V) of rows that have `written` after `prompts`, as settings and rules want.

    Sources: repetition, arXiv:1909.05858 section 4.1, for negative scores as the transformers library
    has it; frequency and presence, OpenAI's API reference; n-grams, arXiv:1705.04304 section 2.5.
    """
    if settings.repetition_penalty != 1:
        scores = _penalise_repeated(scores, prompts, written, settings.repetition_penalty)
    if settings.frequency_penalty or settings.presence_penalty:
        scores = _penalise_written(scores, written, settings)
    if settings.no_repeat_ngram:
        scores = _forbid_ngrams(scores, prompts, written, settings.no_repeat_ngram)
    for rule in rules:
        scores = rule(scores, written)
    if (rules or settings.no_repeat_ngram) and bool((scores.amax(-1) == -torch.inf).any()):
        raise DataError(
            "no token is left to go on with: every one is forbidden",
            fix="set no_repeat_ngram higher, or suppress fewer tokens",
        )
    return scores


def _penalise_repeated(
    scores: Tensor, prompts: Sequence[Ids], written: Sequence[Ids], penalty: float
) -> Tensor:
    scores = scores.clone()
    for row, (prompt, ids) in enumerate(zip(prompts, written, strict=True)):
        seen = torch.tensor([*prompt, *ids])
        kept = scores[row, seen]
        scores[row, seen] = torch.where(kept < 0, kept * penalty, kept / penalty)
    return scores


def _penalise_written(scores: Tensor, written: Sequence[Ids], settings: SamplingSettings) -> Tensor:
    counts = torch.zeros_like(scores)
    for row, ids in enumerate(written):
        counts[row] = torch.tensor(ids, dtype=torch.long).bincount(minlength=scores.shape[1])
    return scores - counts * settings.frequency_penalty - (counts > 0) * settings.presence_penalty


def _forbid_ngrams(scores: Tensor, prompts: Sequence[Ids], written: Sequence[Ids], n: int) -> Tensor:
    scores = scores.clone()
    for row, (prompt, ids) in enumerate(zip(prompts, written, strict=True)):
        scores[row, ends_of_repeats([*prompt, *ids], n)] = -torch.inf
    return scores


def ends_of_repeats(ids: Ids, n: int) -> list[int]:
    """Return the tokens that would end a run of `n` tokens which `ids` already hold.

    ends_of_repeats([1, 2, 3, 1, 2], 3) -> [3]
    """
    last = list(ids[len(ids) - n + 1 :])
    return [ids[i + n - 1] for i in range(len(ids) - n + 1) if list(ids[i : i + n - 1]) == last]
