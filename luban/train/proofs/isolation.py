"""Proof: a document scores in a packed row, and a row in a batch, as it does alone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from luban.errors import DataError
from luban.records import IGNORE, Batch
from luban.train.proofs.subject import (
    TOLERANCE,
    Finding,
    Subject,
    apart,
    draws,
    joined,
    not_applicable,
    relative,
    rows_of,
    score,
    still,
    targets_are_tokens,
    widened,
)

N_ROWS, N_DOCUMENTS, N_STEPS = 3, 24, 8
"""At most so many rows, and documents of them; found in so many steps."""
N_PADDING = 3

Piece = tuple[int, int]
"""A row of a batch, and the document of it; 0: the whole row."""


def packed(subject: Subject) -> Finding:
    """Show that documents of a row, and rows of a batch, know nothing of each other.

    Their losses and gradients add up to those of the whole, and those of one stay as they are when all
    others become different texts.
    """
    first = subject.batches.at(1)[0]
    if first.source is not None and first.targets.ndim == 1:
        return not_applicable("the other rows of a batch are what each row is told apart from")
    if first.group:
        return _grouped(subject, joined([b for step in (1, 2) for b in subject.batches.at(step)]))
    batch, what = _rows_to_try(subject, first)
    case = _Case(subject, still(subject), batch, _pieces(batch))
    if not case.pieces:
        raise DataError(
            "no row of the first steps has a target", fix="look at them with `luban inspect batch`"
        )
    is_random = draws(subject, batch)  # then other shapes draw other targets
    by_itself = case.in_place() if is_random else case.by_itself()
    miscounted = 0 if is_random else case.miscounted()
    changed = case.with_others_changed()
    kind = "documents" if targets_are_tokens(batch) else "rows"
    words = f"{len(case.pieces)} {kind} of {what} score as they do alone, and whatever the others are"
    if by_itself > TOLERANCE:
        words = f"{kind} of {what} do not score as they do alone: attention, positions or pooling reach over"
    elif changed > TOLERANCE:
        words = f"{kind} of {what} score differently when another one changes: something leaks"
    elif miscounted:
        words = f"{kind} of {what} count {miscounted} targets more or fewer than alone: not all are targets"
    return Finding(words=words, difference=max(by_itself, changed, miscounted), tolerance=TOLERANCE)


def alone(batch: Batch) -> Batch:
    """Return the first document of a batch that has a target, in a row of its own."""
    plain = replace(batch, group=0, reference=None, before=None, signal=None)
    return _cut_out(plain, next(_with_targets(plain)))


def _grouped(subject: Subject, batch: Batch) -> Finding:
    """Show that groups of rows that are scored together know nothing of the other groups."""
    batch = batch.groups(0, min(N_ROWS, batch.n_groups))
    model = still(subject)
    total, grads = score(subject, model, batch)
    sums, sum_of_totals = {name: torch.zeros_like(g) for name, g in grads.items()}, torch.zeros_like(total)
    counts = 0
    for i in range(batch.n_groups):
        part = batch.groups(i, i + 1)
        width = int((part.documents != 0).sum(1).max())
        part = widened(part, width - part.tokens.shape[1])
        its_total, its_grads = score(subject, model, part)
        sum_of_totals += its_total
        counts += int(subject.objective(model, part).n_targets)
        for name, g in its_grads.items():
            sums[name] += g
    miscounted = abs(int(subject.objective(model, batch).n_targets) - counts)
    by_itself = max(relative(total, sum_of_totals), apart(grads, sums))
    what = f"{batch.n_groups} groups of {batch.group} rows" if batch.group > 1 else f"{batch.n_groups} rows"
    words = f"{what} of unlike length score as they do alone"
    if by_itself > TOLERANCE:
        words = f"{what} do not score as they do alone: attention, positions or padding reach over"
    elif miscounted:
        words = f"{what} count {miscounted} targets more or fewer than alone"
    return Finding(words=words, difference=max(by_itself, miscounted), tolerance=TOLERANCE)


@dataclass(frozen=True, slots=True, eq=False)
class _Case:
    subject: Subject
    model: nn.Module
    batch: Batch
    pieces: Sequence[Piece]

    def by_itself(self) -> float:
        """Compare the whole with the sum of its pieces, each alone in a row that begins with it."""
        whole = _only(self.batch, self.pieces)
        try:
            whole = widened(whole, N_PADDING)
            total, grads = score(self.subject, self.model, whole)
        except DataError:  # as long as the model reads
            total, grads = score(self.subject, self.model, _only(self.batch, self.pieces))
        sums = {name: torch.zeros_like(g) for name, g in grads.items()}
        sum_of_totals = torch.zeros_like(total)
        for piece in self.pieces:
            its_total, its_grads = score(self.subject, self.model, _cut_out(self.batch, piece))
            sum_of_totals += its_total
            for name, g in its_grads.items():
                sums[name] += g
        return max(relative(total, sum_of_totals), apart(grads, sums))

    def in_place(self) -> float:
        """Compare each piece with itself where all others are padding; what is drawn stays the same."""
        return max(self._beside(piece, _blanked(self.batch, piece)) for piece in self._few())

    def with_others_changed(self) -> float:
        """Compare each piece with itself where all others are different texts."""
        return max(self._beside(piece, _changed(self.batch, piece)) for piece in self._few())

    def miscounted(self) -> int:
        """Return by how much the targets of the whole are not those of its pieces, alone or in place."""
        whole = _only(self.batch, self.pieces)
        counts = [self._count(_cut_out(self.batch, piece)) for piece in self.pieces]
        wrong = [self._count(whole) - sum(counts)]
        for piece in self._few():
            at = self.pieces.index(piece)
            wrong.append(self._count(_only(self.batch, [piece])) - counts[at])
        with contextlib.suppress(DataError):  # as long as the model reads
            wrong.append(self._count(widened(whole, N_PADDING)) - sum(counts))
        return max(map(abs, wrong))

    @torch.no_grad()
    def _count(self, batch: Batch) -> int:
        return int(self.subject.objective(self.model, batch).n_targets)

    def _beside(self, piece: Piece, other: Batch) -> float:
        totals, grads = zip(
            *(score(self.subject, self.model, _only(b, [piece])) for b in (self.batch, other)), strict=True
        )
        return max(relative(*totals), apart(*grads))

    def _few(self) -> list[Piece]:
        """Return the first piece, the last, and one between."""
        n = len(self.pieces)
        return [self.pieces[i] for i in sorted({0, n // 2, n - 1})]


def _rows_to_try(subject: Subject, first: Batch) -> tuple[Batch, str]:
    """Return rows with several documents, or rows of unlike length, and what they are in words."""
    if not targets_are_tokens(first):
        rows = joined([b for step in (1, 2) for b in subject.batches.at(step)])
        order = (rows.documents != 0).sum(1).argsort().tolist()
        chosen = sorted({order[0], order[len(order) // 2], order[-1]})
        return rows_of(rows, chosen), f"a padded batch of {len(chosen)}"
    best: list[tuple[int, Batch]] = []
    for step in range(1, N_STEPS + 1):
        for batch in subject.batches.at(step):
            counts = _n_documents(batch)
            fullest = int(counts.argmax())
            best.append((int(counts[fullest]), rows_of(batch, [fullest])))
    best.sort(key=lambda pair: -pair[0])
    if best[0][0] > 1:
        rows = joined([row for n, row in best[:N_ROWS] if n > 1])
        return rows, f"{len(rows.tokens)} packed rows"
    row = best[0][1]
    if row.source is not None:
        return joined([row for _, row in best[:N_ROWS]]), "a batch of unpacked rows"
    halves = row.documents.shape[1] // 2
    documents, targets = row.documents.clone(), row.targets.clone()
    documents[:, halves:] += (documents[:, halves:] > 0).long()
    targets[:, halves - 1] = IGNORE  # it would be the other document's first token
    return replace(row, documents=documents, targets=targets), "a row cut in two (no real row holds two)"


def _n_documents(batch: Batch) -> Tensor:
    """Count the documents of each row: (B, T) -> (B,)."""
    documents = batch.documents
    is_first = torch.ones_like(documents, dtype=torch.bool)
    is_first[:, 1:] = documents[:, 1:] != documents[:, :-1]
    return (is_first & (documents != 0)).sum(1)


def _pieces(batch: Batch) -> list[Piece]:
    return list(_with_targets(batch))[:N_DOCUMENTS]


def _with_targets(batch: Batch) -> Iterator[Piece]:
    for row in range(len(batch.tokens)):
        if not targets_are_tokens(batch):
            if bool((batch.targets[row] != IGNORE).any()):
                yield row, 0
            continue
        for number in torch.unique(batch.documents[row]).tolist():
            is_in = batch.documents[row] == number
            sources = batch.source_documents
            has_source = sources is None or bool((sources[row] == number).any())
            if number and has_source and bool((batch.targets[row][is_in] != IGNORE).any()):
                yield row, number


def _only(batch: Batch, pieces: Sequence[Piece]) -> Batch:
    """Return the batch with the targets of these pieces alone."""
    wanted = torch.zeros_like(batch.targets, dtype=torch.bool)
    for row, number in pieces:
        wanted[row] |= (batch.documents[row] == number) if number else torch.tensor(True)
    return replace(batch, targets=batch.targets.masked_fill(~wanted, IGNORE))


def _cut_out(batch: Batch, piece: Piece) -> Batch:
    """Return the piece as the only row, nothing before or behind it."""
    row, number = piece
    one = rows_of(batch, [row])
    its = one.documents[0] == number if number else one.documents[0] != 0
    cut = {"tokens": one.tokens[:, its], "documents": torch.ones_like(one.documents[:, its])}
    if one.segments is not None:
        cut["segments"] = one.segments[:, its]
    if number:
        cut["targets"] = one.targets[:, its]
    if one.source is not None and one.source_documents is not None:
        read = one.source_documents[0] == number if number else one.source_documents[0] != 0
        cut["source_documents"] = torch.ones_like(one.source_documents[:, read])
        cut["source"] = one.source[:, read] if one.source.ndim == 2 else one.source
    return replace(one, **cut)  # type: ignore[arg-type]


def _others(batch: Batch, documents: Tensor, piece: Piece) -> Tensor:
    """Say which tokens are another's: (B, T), padding not among them."""
    row, number = piece
    others = documents != 0
    others[row] = (documents[row] != number) & (documents[row] != 0) if number else False
    return others


def _blanked(batch: Batch, piece: Piece) -> Batch:
    blank = {"documents": batch.documents.masked_fill(_others(batch, batch.documents, piece), 0)}
    if batch.source_documents is not None:
        read = _others(batch, batch.source_documents, piece)
        blank["source_documents"] = batch.source_documents.masked_fill(read, 0)
    return replace(batch, **blank)  # type: ignore[arg-type]


def _changed(batch: Batch, piece: Piece) -> Batch:
    """Return the batch with other tokens wherever they are not the piece's own."""
    new = {"tokens": _rotated(batch.tokens, _others(batch, batch.documents, piece))}
    if batch.source is not None and batch.source.ndim == 2 and batch.source_documents is not None:
        new["source"] = _rotated(batch.source, _others(batch, batch.source_documents, piece))
    return replace(batch, **new)  # type: ignore[arg-type]


def _rotated(tokens: Tensor, where: Tensor) -> Tensor:
    """Let each of these tokens become the next larger one of the batch, the largest the smallest."""
    known = torch.unique(tokens)
    places = torch.searchsorted(known, tokens)
    return torch.where(where, known[(places + 1) % len(known)], tokens)
