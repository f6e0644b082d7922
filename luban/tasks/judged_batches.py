"""Judged answers as batches: pairs side by side, or labelled answers with answers to other questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from luban.data.encoding import Unreadable
from luban.data.row_groups import Row, RowGroups
from luban.errors import DataError
from luban.models.model import Model
from luban.objectives.answers import answer_log_probs
from luban.tasks.prefer_rows import Judged, encode_answer, part_rows, read_judged
from luban.tokenizer import Tokenizer
from luban.tokenizer.chat import ChatTemplate

PARTS = ("train", "validation")
MOST_REFUSED = 50
"""So many rows in a row that a template refuses are the template's fault."""


class Batching(Protocol):
    """The settings that batches follow."""

    @property
    def tokens_per_batch(self) -> int:
        """Places in a micro-batch."""
        ...

    @property
    def n_micro_batches(self) -> int:
        """Micro-batches in a step."""
        ...

    @property
    def seed(self) -> int:
        """Decides the order."""
        ...


@dataclass(slots=True)
class Encoded:
    """Judged rows of a part with the ids of their answers, and what could not be used."""

    judged: list[Judged] = field(default_factory=list)
    answers: list[tuple[Row, ...]] = field(default_factory=list)
    """Chosen and rejected, or the one answer."""


@dataclass(slots=True)
class Read:
    """Both parts, and the rows set aside."""

    train: Encoded
    validation: Encoded
    rejects: list[dict[str, Any]]


def read_encoded(
    inputs: Mapping[str, Path], tokenizer: Tokenizer, max_len: int, validation: float, *, paired: bool = True
) -> Read:
    """Read, part and encode judged rows; prompts that are the same stay in one part.

    `paired`: rows must have two answers. Otherwise pairs are taken apart into a good and a bad answer.
    """
    found = read_judged(inputs["data"])
    rejects = found.rejects
    if "eval" in inputs:
        apart = read_judged(inputs["eval"])
        rejects += apart.rejects
        parts = {"train": found.kept, "validation": apart.kept}
    else:
        parts = part_rows(found.kept, validation)
    with ChatTemplate(tokenizer) as template:
        train, validation_part = (
            encode_judged(template, parts[name], max_len, rejects, paired=paired) for name in PARTS
        )
    for name, part in zip(PARTS, (train, validation_part), strict=True):
        if not part.judged:
            first = rejects[0]["reason"] if rejects else "there are too few"
            raise DataError(
                f"{inputs['data']} leaves no row for {name}; the first set aside: {first}",
                fix="give more rows, raise max_len, or choose another loss",
            )
    return Read(train, validation_part, rejects)


def encode_judged(
    template: ChatTemplate,
    rows: Sequence[Judged],
    max_len: int,
    rejects: list[dict[str, Any]],
    *,
    paired: bool,
) -> Encoded:
    """Encode the answers of rows; those that cannot be are added to `rejects`."""
    kept = Encoded()
    for i, row in enumerate(rows):
        if paired and not row.is_pair:
            rejects.append(row.reject("one answer with a label: only kto learns from it"))
            continue
        texts = [text for text in (row.chosen, row.rejected) if text is not None]
        try:
            answers = [encode_answer(template, row, text, max_len) for text in texts]
        except Unreadable as e:
            rejects.append(row.reject(str(e)))
            continue
        except DataError as e:
            rejects.append(row.reject(e.problem))
            if not kept.judged and i + 1 >= min(MOST_REFUSED, len(rows)) and len(rows) > 1:
                raise
            continue
        kept.judged.append(row)
        kept.answers.append(tuple(answers))
    return kept


def pair_batches(part: Encoded, settings: Batching, pad_id: int | None) -> RowGroups:
    """Return batches of pairs, the chosen answer first."""
    rows = [row for answers in part.answers for row in answers]
    return RowGroups(
        rows,
        2,
        tokens_per_batch=settings.tokens_per_batch,
        n_micro_batches=settings.n_micro_batches,
        seed=settings.seed,
        pad_id=pad_id or 0,
    )


def label_batches(
    part: Encoded, settings: Batching, pad_id: int | None, *, size: int, max_len: int
) -> RowGroups:
    """Return batches of groups: `size` labelled answers, then as many prompts with the answer of the next.

    The groups stay the same in all epochs, so that what the reference says of them is found once. The
    last group is filled up with rows that were there before and that have the label 0.
    """
    single: list[tuple[Row, float]] = []
    for judged, answers in zip(part.judged, part.answers, strict=True):
        labels = [1.0, -1.0] if judged.is_pair else [1.0 if judged.chosen is not None else -1.0]
        single += zip(answers, labels, strict=True)
    order = np.random.default_rng(settings.seed).permutation(len(single))
    mixed = [single[i] for i in order]
    n_missing = -len(mixed) % size
    mixed += [(mixed[i % len(mixed)][0], 0.0) for i in range(n_missing)]
    rows: list[Row] = []
    for start in range(0, len(mixed), size):
        group = [row for row, _ in mixed[start : start + size]]
        rows += group
        rows += [_exchanged(a, b, max_len) for a, b in zip(group, [*group[1:], group[0]], strict=True)]
    signal = np.array([label for _, label in mixed], np.float32).reshape(-1, size)
    return RowGroups(
        rows,
        2 * size,
        tokens_per_batch=settings.tokens_per_batch,
        n_micro_batches=settings.n_micro_batches,
        seed=settings.seed,
        pad_id=pad_id or 0,
        signal=signal,
    )


def _exchanged(asked: Row, answered: Row, max_len: int) -> Row:
    """Return the prompt of one row with the answer of another, cut to `max_len` tokens."""
    (ids, said), (others, theirs) = asked, answered
    prompt, answer = ids[: said.index(True)], others[theirs.index(True) :]
    prompt = prompt[: max_len - 1]
    both = [*prompt, *answer][:max_len]
    flags = [False] * len(prompt) + theirs[theirs.index(True) :]
    return both, flags[: len(both)]


@torch.no_grad()
def add_reference(model: Model, batches: RowGroups) -> None:
    """Let every row carry its answer's log-probability by the model as it is now."""
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    found = np.zeros(len(batches) * batches.size, np.float32)
    for batch in batches.in_order():
        found[list(batch.ids)] = answer_log_probs(model, batch.to(device))[0].cpu().numpy()
    batches.reference = found
    model.train(was_training)
