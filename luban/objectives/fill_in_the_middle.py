"""Write a missing middle, by plain next-token training on rearranged documents.

Source: arXiv:2207.14255 section 3; SPM as in its appendix D, variant 2; on each document of a packed
row as in section 3.3 ("context level").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from luban.objectives.rows import Rows, pieces
from luban.objectives.vocabulary import supervised_tokens
from luban.records import IGNORE, Batch, Loss


@dataclass(frozen=True, kw_only=True, slots=True)
class Infill:
    """How many documents are rearranged, and what marks their parts."""

    prefix_id: int
    suffix_id: int
    middle_id: int
    end_id: int
    """Closes a middle, and a document."""
    pad_id: int = 0
    share: float = 0.5
    """Share of the documents that are rearranged."""
    spm_share: float = 0.5
    """Share of those that show the suffix before the prefix."""


def fill_in_the_middle(
    model: nn.Module, batch: Batch, *, infill: Infill, generator: torch.Generator | None = None
) -> Loss:
    """Rearrange documents, drawn anew each time, and sum the cross-entropy of every next token in nats."""
    return supervised_tokens(model, rearranged(batch, infill, generator))


def rearranged(batch: Batch, infill: Infill, generator: torch.Generator | None = None) -> Batch:
    """Return rows of the same width whose documents, in part, have their middle last.

    Two cuts fall anywhere in a document. Marks make rows longer, and what no longer fits is cut off.
    """
    rows, width = Rows(len(batch.tokens)), batch.tokens.shape[1]
    for row, number, ids in pieces(batch):
        is_whole = ids[-1] == infill.end_id
        text = ids[:-1] if is_whole else ids
        chosen, kind, *cuts = torch.rand(4, generator=generator).tolist()
        if chosen < infill.share:
            first, second = sorted(int(c * (len(text) + 1)) for c in cuts)
            order: Literal["psm", "spm"] = "spm" if kind < infill.spm_share else "psm"
            ids = [*rearrange(text, (first, second), infill, order), infill.end_id]
        rows.add(row, number, ids)
    tokens, documents = rows.tensors(infill.pad_id, batch.tokens.device, width + 1)
    follows = (documents[:, 1:] == documents[:, :-1]) & (documents[:, 1:] > 0)
    targets = tokens[:, 1:].masked_fill(~follows, IGNORE)
    return Batch(tokens[:, :-1], documents[:, :-1], targets, batch.ids)


def rearrange(
    ids: list[int], cuts: tuple[int, int], infill: Infill, order: Literal["psm", "spm"]
) -> list[int]:
    """Return a text with its middle, between the two cuts, last: PSM or SPM order."""
    prefix, middle, suffix = ids[: cuts[0]], ids[cuts[0] : cuts[1]], ids[cuts[1] :]
    if order == "psm":
        return [infill.prefix_id, *prefix, infill.suffix_id, *suffix, infill.middle_id, *middle]
    return [infill.prefix_id, infill.suffix_id, *suffix, infill.middle_id, *prefix, *middle]
