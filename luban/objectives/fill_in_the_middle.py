"""Write a missing middle, by plain next-token training on rearranged documents.

Source: arXiv:2207.14255 section 3; SPM as in its appendix D, variant 2; on each document of a packed
row as in section 3.3 ("context level").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from luban.objectives.rows import Rows, pieces
from luban.objectives.vocabulary import supervised_tokens
from luban.records import IGNORE, Batch, Loss

Parts = tuple[list[int], list[int], list[int]]
"""Ids of prefix, middle and suffix."""
Divide = Callable[[list[int], float, float, float], Parts]
"""(ids, three numbers drawn from [0, 1)) -> the parts of a text."""


def at_tokens(ids: list[int], first: float, second: float, kind: float = 0.0) -> Parts:
    """Cut a text at two places between tokens, every place as likely as another."""
    begin, end = sorted(int(c * (len(ids) + 1)) for c in (first, second))
    return ids[:begin], ids[begin:end], ids[end:]


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
    divide: Divide = at_tokens
    """Where the cuts fall."""


def fill_in_the_middle(
    model: nn.Module, batch: Batch, *, infill: Infill, generator: torch.Generator | None = None
) -> Loss:
    """Rearrange documents, drawn anew each time, and sum the cross-entropy of every next token in nats."""
    return supervised_tokens(model, rearranged(batch, infill, generator))


def rearranged(batch: Batch, infill: Infill, generator: torch.Generator | None = None) -> Batch:
    """Return rows of the same width whose documents, in part, have their middle last.

    Marks make rows longer: a rearranged document that no longer fits gives up the far end of its suffix,
    or the beginning of its prefix, so that its middle and the end of it are learnt. Else what does not
    fit is cut off.
    """
    rows, width = Rows(len(batch.tokens)), batch.tokens.shape[1] + 1
    for row, number, ids in pieces(batch):
        is_whole = ids[-1] == infill.end_id
        text = ids[:-1] if is_whole else ids
        chosen, kind, *cuts = torch.rand(5, generator=generator).tolist()
        if chosen < infill.share:
            order: Literal["psm", "spm"] = "spm" if kind < infill.spm_share else "psm"
            parts = _shortened(infill.divide(text, *cuts), width - rows.width(row) - 4)
            ids = [*rearrange(parts, infill, order), infill.end_id]
        rows.add(row, number, ids)
    tokens, documents = rows.tensors(infill.pad_id, batch.tokens.device, width)
    follows = (documents[:, 1:] == documents[:, :-1]) & (documents[:, 1:] > 0)
    targets = tokens[:, 1:].masked_fill(~follows, IGNORE)
    return Batch(tokens[:, :-1], documents[:, :-1], targets, batch.ids)


def rearrange(parts: Parts, infill: Infill, order: Literal["psm", "spm"]) -> list[int]:
    """Return a text with its middle last: PSM or SPM order."""
    prefix, middle, suffix = parts
    return [*infill_prompt(infill, prefix, suffix, order), *middle]


def infill_prompt(
    infill: Infill, prefix: list[int], suffix: list[int], order: Literal["psm", "spm"]
) -> list[int]:
    """Return what a model reads before it writes the middle."""
    if order == "psm":
        return [infill.prefix_id, *prefix, infill.suffix_id, *suffix, infill.middle_id]
    return [infill.prefix_id, infill.suffix_id, *suffix, infill.middle_id, *prefix]


def _shortened(parts: Parts, room: int) -> Parts:
    """Return parts of at most `room` tokens, if prefix and suffix are long enough to give so many."""
    prefix, middle, suffix = parts
    excess = max(0, len(prefix) + len(middle) + len(suffix) - room)
    from_suffix = min(excess, len(suffix))
    from_prefix = min(excess - from_suffix, len(prefix))
    return prefix[from_prefix:], middle, suffix[: len(suffix) - from_suffix]
