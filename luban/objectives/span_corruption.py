"""Write the spans that were cut out of a text: T5's denoising.

Source: arXiv:1910.10683 section 3.1.4, figure 2; lengths of spans as in section 3.3.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from luban.errors import ConfigError
from luban.objectives.rows import Rows, pieces
from luban.objectives.seq2seq import shift_right
from luban.objectives.vocabulary import supervised_tokens
from luban.records import IGNORE, Batch, Loss


@dataclass(frozen=True, kw_only=True, slots=True)
class Corruption:
    """How much is cut out, and what marks the places."""

    sentinels: tuple[int, ...]
    """Ids that stand for the first span of a text, the second, and so on; see `last_ids`."""
    start_id: int
    """What the decoder reads first."""
    end_id: int
    """Closes a target; the end of a document, which is never cut out."""
    pad_id: int = 0
    share: float = 0.15
    """Share of a text's tokens that is cut out."""
    mean_length: float = 3.0
    """Mean tokens in a span."""


def span_corruption(
    model: nn.Module, batch: Batch, *, corruption: Corruption, generator: torch.Generator | None = None
) -> Loss:
    """Cut spans out of each document, drawn anew each time, and sum the cross-entropy of writing them."""
    return supervised_tokens(model, without_spans(batch, corruption, generator))


def without_spans(batch: Batch, corruption: Corruption, generator: torch.Generator | None = None) -> Batch:
    """Return documents with spans cut out as the source, and the spans as targets; documents keep apart.

    A document too short to lose a token, or whose target no longer fits the row, is left out.
    """
    width, n_rows, device = batch.tokens.shape[1], len(batch.tokens), batch.tokens.device
    source, target = Rows(n_rows), Rows(n_rows)
    for row, number, ids in pieces(batch):
        tail = [corruption.end_id] if ids[-1] == corruption.end_id else []
        text = ids[: len(ids) - len(tail)]
        if len(text) < 2:
            continue
        kept, cut = corrupt(text, draw(len(text), corruption, generator), corruption.sentinels)
        if target.width(row) + len(cut) < width:
            source.add(row, number, kept + tail)
            target.add(row, number, [*cut, corruption.end_id])
    said, documents = target.tensors(corruption.pad_id, device)
    read, source_documents = source.tensors(corruption.pad_id, device)
    tokens = shift_right(said, documents, start_id=corruption.start_id, pad_id=corruption.pad_id)
    targets = said.masked_fill(documents == 0, IGNORE)
    return Batch(tokens, documents, targets, batch.ids, read, source_documents)


def corrupt(
    ids: Sequence[int], lengths: Sequence[int], sentinels: Sequence[int]
) -> tuple[list[int], list[int]]:
    """Return the text with a sentinel for every span, and the spans, each after its sentinel.

    `lengths` are those of kept and cut spans in turn, kept first. A last sentinel ends the target.
    corrupt([1, 2, 3, 4, 5], [1, 2, 2], [9, 8]) -> [1, 9, 4, 5], [9, 2, 3, 8]
    """
    kept: list[int] = []
    cut: list[int] = []
    place = 0
    for i, length in enumerate(lengths):
        span = ids[place : place + length]
        place += length
        if i % 2 == 0:
            kept += span
        else:
            kept.append(sentinels[i // 2])
            cut += [sentinels[i // 2], *span]
    return kept, [*cut, sentinels[len(lengths) // 2]]


def draw(n_tokens: int, corruption: Corruption, generator: torch.Generator | None = None) -> list[int]:
    """Draw the lengths of kept and cut spans in turn, which add up to n_tokens (at least 2).

    The first and the last are kept ones and may be empty, so that a cut may fall anywhere.
    """
    n_cut = min(max(round(n_tokens * corruption.share), 1), n_tokens - 1)
    n_spans = min(max(round(n_cut / corruption.mean_length), 1), n_tokens - n_cut)
    n_marks = len(corruption.sentinels)
    if n_spans >= n_marks:
        raise ConfigError(
            f"{n_tokens} tokens lose {n_spans} spans, too many for {n_marks} sentinels",
            fix=f"set n_sentinels to at least {n_spans + 1}, or lower context",
        )
    kept = _divide(n_tokens - n_cut + 2, n_spans + 1, generator)
    kept[0], kept[-1] = kept[0] - 1, kept[-1] - 1
    cut = _divide(n_cut, n_spans, generator)
    return [length for pair in zip(kept, [*cut, 0], strict=True) for length in pair][:-1]


def last_ids(vocab_size: int, n: int) -> tuple[int, ...]:
    """Return the last n ids of a vocabulary, counting down: T5's sentinels."""
    return tuple(range(vocab_size - 1, vocab_size - 1 - n, -1))


def _divide(n: int, n_parts: int, generator: torch.Generator | None) -> list[int]:
    """Divide n into parts of at least 1, every division equally likely."""
    places = torch.randperm(n - 1, generator=generator)[: n_parts - 1].sort().values + 1
    return torch.diff(places, prepend=torch.tensor([0]), append=torch.tensor([n])).tolist()
