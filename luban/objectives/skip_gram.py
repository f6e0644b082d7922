"""Tell the words around each word from words drawn at random: skip-gram with negative sampling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from luban.records import IGNORE, Batch, Loss

POWER = 0.75
"""Exponent of the words' counts in the noise distribution."""
N_DRAWN = 64
"""Noise words drawn for a row; its pairs share them."""


def skip_gram(
    model: nn.Module, batch: Batch, *, noise: Tensor, window: int = 5, n_negatives: int = 5
) -> Loss:
    """Sum over all pairs of a word and one near it, in nats; reach and noise words are drawn anew.

    tokens (B, T), targets (B, T): the same words, or IGNORE where a word is not to be told. Each word
    reaches 1 to `window` words both ways inside its document. noise (V,): see `noise_table`.
    Source: arXiv:1310.4546 equation 4; the reach, arXiv:1301.3781 section 3.2.
    """
    # Drawn by torch's CPU generator, so that every device sees the same words.
    reach = torch.randint(1, window + 1, batch.tokens.shape)
    chosen = torch.rand(len(batch.tokens), N_DRAWN, dtype=noise.dtype)
    drawn = torch.searchsorted(noise, chosen, right=True).clamp(max=len(noise) - 1)
    device = batch.tokens.device
    return contrast(model, batch, reach.to(device), drawn.to(device), n_negatives)


def contrast(model: nn.Module, batch: Batch, reach: Tensor, drawn: Tensor, n_negatives: int) -> Loss:
    """Sum -log σ(u·v) over pairs, and -log σ(-u'·v) over `n_negatives` noise words for each pair.

    v: the model's hidden state of a word; u: row of the head's matrix. reach (B, T): words to either
    side. drawn (B, S): noise words whose mean stands for the expectation, shared by a row's pairs, so
    that all is matrix products (as in arXiv:1604.04661).
    """
    body: Any = model
    centres = body.head.features(body.hidden(batch.tokens, batch.documents))  # (B, T, C)
    words = torch.cat([batch.targets.clamp(min=0), drawn], 1)  # (B, T + S)
    scores = centres @ F.embedding(words, body.head.weight).mT  # (B, T, T + S)
    n_words, n_drawn = reach.shape[1], drawn.shape[1]
    sign = torch.ones(n_words + n_drawn, device=scores.device)
    sign[:n_words] = -1
    n_pairs = (is_pair := pairs(batch, reach)).sum(2, keepdim=True)  # (B, T, 1)
    noise = (n_pairs * (n_negatives / n_drawn)).expand(-1, -1, n_drawn)
    weight = torch.cat([is_pair.to(scores.dtype), noise.to(scores.dtype)], 2)
    return Loss((F.softplus(scores * sign) * weight).sum(), int(n_pairs.sum()))


def pairs(batch: Batch, reach: Tensor) -> Tensor:
    """Tell for each word (first T) which words (second T) are its context: (B, T) -> (B, T, T)."""
    place = torch.arange(reach.shape[1], device=reach.device)
    distance = (place[:, None] - place).abs()
    is_near = (distance > 0) & (distance <= reach[:, :, None])
    documents = torch.where(batch.targets == IGNORE, 0, batch.documents)
    return is_near & (batch.documents[:, :, None] == documents[:, None]) & (documents[:, None] > 0)


def noise_table(counts: Sequence[int]) -> Tensor:
    """Return the cumulative noise distribution, proportional to count^0.75, (V,)."""
    weights = torch.tensor(counts, dtype=torch.float64) ** POWER
    return weights.cumsum(0) / weights.sum()
