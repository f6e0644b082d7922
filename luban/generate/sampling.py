"""Choose the next token from its scores."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from luban.generate.settings import SamplingSettings


def generators(n_rows: int, seed: int) -> list[torch.Generator]:
    """Return one source of chance a row, all alike: a row's text does not depend on its neighbours."""
    return [torch.Generator().manual_seed(seed) for _ in range(n_rows)]


def choose(logits: Tensor, settings: SamplingSettings, chance: Sequence[torch.Generator]) -> Tensor:
    """Choose one token a row: (B, V) -> (B,), on the CPU."""
    logits = logits.float().cpu()
    if settings.temperature == 0:
        return logits.argmax(-1)
    probabilities = kept_probabilities(logits, settings)
    drawn = [torch.multinomial(row, 1, generator=g) for row, g in zip(probabilities, chance, strict=True)]
    return torch.cat(drawn)


def kept_probabilities(logits: Tensor, settings: SamplingSettings) -> Tensor:
    """Return the probabilities after temperature, with those of tokens left out at 0: (B, V) -> (B, V).

    Top-k first, then top-p, then min-p, each among what the one before it kept; the likeliest token
    always stays. Source: top-p, arXiv:1904.09751; min-p, arXiv:2407.01082.
    """
    logits = logits / settings.temperature
    if 0 < settings.top_k < logits.shape[-1]:
        least = logits.topk(settings.top_k).values[:, -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    probabilities = logits.softmax(-1)
    if settings.top_p < 1:
        ordered, order = probabilities.sort(descending=True, stable=True)
        is_past = ordered.cumsum(-1) - ordered >= settings.top_p
        probabilities = probabilities.masked_fill(torch.zeros_like(is_past).scatter(1, order, is_past), 0.0)
    if settings.min_p > 0:
        least = probabilities.amax(-1, keepdim=True) * settings.min_p
        probabilities = probabilities.masked_fill(probabilities < least, 0.0)
    return probabilities / probabilities.sum(-1, keepdim=True)
