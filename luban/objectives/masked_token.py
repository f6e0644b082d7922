"""Predict hidden tokens from what stands on both sides of them.

Source: BERT, arXiv:1810.04805 section 3.1; whole words, its repository's release of May 2019; drawn
anew at each step ("dynamic"), RoBERTa, arXiv:1907.11692 section 4.1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from luban.objectives.vocabulary import supervised_tokens
from luban.records import IGNORE, Batch, Loss


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Masking:
    """How many tokens are hidden, and what stands in their place."""

    mask_id: int
    vocab_size: int
    """A random token is one of so many."""
    special_ids: tuple[int, ...] = ()
    """Tokens that are never hidden."""
    share: float = 0.15
    """Share of a row's tokens to predict."""
    mask_share: float = 0.8
    """Of those, the share shown as the mask; a further `random_share` as any token, the rest as they are."""
    random_share: float = 0.1
    continues_word: Tensor | None = None
    """(V,) bool: which tokens go on with the word before them; then words are hidden whole."""


def masked_token(
    model: nn.Module, batch: Batch, *, masking: Masking, generator: torch.Generator | None = None
) -> Loss:
    """Hide tokens of a batch, drawn anew each time, and sum the cross-entropy of the hidden ones in nats."""
    return supervised_tokens(model, masked(batch, masking, generator))


def masked(batch: Batch, masking: Masking, generator: torch.Generator | None = None) -> Batch:
    """Return the batch with tokens hidden and these as its targets."""
    hidden = choose(batch.tokens, batch.documents, masking, generator)
    tokens = hide(batch.tokens, hidden, masking, generator)
    return replace(batch, tokens=tokens, targets=torch.where(hidden, batch.tokens, IGNORE))


def choose(
    tokens: Tensor, documents: Tensor, masking: Masking, generator: torch.Generator | None = None
) -> Tensor:
    """Return which tokens of each row to predict: a share of them, one at least. (B, T) bool.

    Words are drawn in random order while the tokens before them are fewer than the share, so that a
    long word is as likely as a short one.
    """
    allowed = documents != 0
    if masking.special_ids:
        allowed &= ~torch.isin(tokens, tokens.new_tensor(masking.special_ids))
    noise = torch.rand(tokens.shape, generator=generator, device=tokens.device)
    noise = noise.gather(1, _words(tokens, documents, masking))  # tokens of a word share its number
    noise = noise.masked_fill(~allowed, 2.0)  # behind all others
    n_before = torch.searchsorted(noise.sort(1).values, noise)
    n_chosen = (allowed.sum(1, keepdim=True) * masking.share).round().clamp(min=1)
    return allowed & (n_before < n_chosen)


def hide(
    tokens: Tensor, hidden: Tensor, masking: Masking, generator: torch.Generator | None = None
) -> Tensor:
    """Replace hidden tokens by the mask, by random tokens, or not at all, in the shares of `masking`."""
    noise = torch.rand(tokens.shape, generator=generator, device=tokens.device)
    others = torch.randint(masking.vocab_size, tokens.shape, generator=generator, device=tokens.device)
    shown = torch.where(noise < masking.mask_share + masking.random_share, others, tokens)
    shown = torch.where(noise < masking.mask_share, masking.mask_id, shown)
    return torch.where(hidden, shown, tokens)


def _words(tokens: Tensor, documents: Tensor, masking: Masking) -> Tensor:
    """Number the words of each row from 0, (B, T): a document's first token always begins one."""
    if masking.continues_word is None:
        return torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
    begins = ~masking.continues_word.to(tokens.device)[tokens]
    begins[:, 1:] |= documents[:, 1:] != documents[:, :-1]
    begins[:, 0] = False
    return begins.cumsum(1)
