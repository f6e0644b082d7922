"""Questions and contexts as windows of tokens: question first, then a part of the context.

Source: arXiv:1810.04805 section 4.2; windows with an overlap as in its code. An answer that a window cuts
is no answer there, and no answer points at the frame's first token, or at its last for a model that sees
the past only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from luban.data.batches import Bucketed
from luban.errors import ConfigError
from luban.models.config import ModelConfig
from luban.records import IGNORE, Batch
from luban.tasks.qa_rows import Asked, Spans
from luban.tokenizer import Tokenizer

Ints = NDArray[np.int64]
CONTEXTS_AT_ONCE = 512
MOST_ANSWERS = 8
"""Right answers of a row that are learnt."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How texts become windows; saved with a model, which must be asked as it was trained."""

    max_len: int
    overlap: int
    max_question: int
    match_segments: int = 0


@dataclass(frozen=True, slots=True)
class Frame:
    """Tokens before the question, between the two, and after the context, each with its segment."""

    before: tuple[int, ...]
    between: tuple[int, ...]
    after: tuple[int, ...]
    segments: tuple[int, int]
    """Of the question with all before the context, and of the context with what follows it."""
    null_is_last: bool = False

    @property
    def n_tokens(self) -> int:
        """Tokens of the frame alone."""
        return len(self.before) + len(self.between) + len(self.after)


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a row's context, with its question before it."""

    row: int
    ids: list[int]
    segments: list[int]
    offset: int
    """Tokens before the first of the context."""
    places: list[tuple[int, int]]
    """(start, end) in characters of the context, of each of its tokens here."""
    null: int
    """Position that stands for no answer."""
    targets: tuple[tuple[int, int], ...]
    """Positions of each answer's first and last token; twice `null` where none is here."""

    @property
    def has_answer(self) -> bool:
        """Whether an answer is in the window."""
        return self.targets != ((self.null, self.null),)


def frame_of(tokenizer: Tokenizer, config: ModelConfig) -> Frame:
    """Return the tokenizer's template for two texts; one without has its end token between and after them.

    A model that sees the past only says at the last token that there is no answer.
    """
    pair = tokenizer.pair_frame()
    first, second = (i for i, (id, _) in enumerate(pair) if id is None)
    ids = [id for id, _ in pair]
    parts = tuple(
        tuple(id for id in part if id is not None) for part in (ids[:first], ids[first:second], ids[second:])
    )
    before, between, after = parts
    end = next((i for i in (tokenizer.sep_id, tokenizer.eos_id) if i is not None), None)
    if not between and end is not None:
        between = (end,)
    is_causal = getattr(config.trunk, "sight", "causal") == "causal"
    if end is not None and not after and (is_causal or not before):
        after = (end,)
    segments = (pair[first][1], pair[second][1])
    return Frame(before, between, after, segments, null_is_last=is_causal or not before)


class Encoder:
    """Turns rows into windows for one tokenizer, model and shape."""

    def __init__(self, tokenizer: Tokenizer, config: ModelConfig, shape: Shape):
        self.shape, self.frame, self._tokenizer = shape, frame_of(tokenizer, config), tokenizer
        self.has_segments = config.n_segments > 1
        least = self.frame.n_tokens + 2
        if shape.max_len < least:
            raise ConfigError(
                f"max_len = {shape.max_len} leaves no room for question and context in a window",
                fix=f"set max_len to at least {4 * least}",
            )

    def windows(self, rows: Sequence[Asked]) -> Iterator[Window]:
        """Yield the windows of each row in order; every row has one at least."""
        for start in range(0, len(rows), CONTEXTS_AT_ONCE):
            part = rows[start : start + CONTEXTS_AT_ONCE]
            contexts = list(dict.fromkeys(row.context for row in part))
            encoded = dict(zip(contexts, self._tokenizer.encode_offsets(contexts), strict=True))
            questions = self._tokenizer.encode_batch([row.question for row in part])
            for i, (row, question) in enumerate(zip(part, questions, strict=True)):
                ids, offsets = encoded[row.context]
                yield from self._row(start + i, row, question, ids, trimmed(row.context, offsets))

    def _row(
        self, number: int, row: Asked, question: list[int], ids: list[int], places: list[tuple[int, int]]
    ) -> Iterator[Window]:
        frame, shape = self.frame, self.shape
        room = shape.max_len - frame.n_tokens
        question = question[: min(shape.max_question, room - max(1, room // 2))]
        room -= len(question)
        head = [*frame.before, *question, *frame.between]
        answers = list(_tokens_of(row.spans, places))
        levels = match_levels(question, ids, shape.match_segments)
        one, other = frame.segments
        for start in starts(len(ids), room, shape.overlap):
            part = slice(start, start + room)
            whole = [*head, *ids[part], *frame.after]
            null = len(whole) - 1 if frame.null_is_last else 0
            segments = [one] * len(head) + [other + level for level in levels[part]]
            yield Window(
                row=number,
                ids=whole,
                segments=segments + [other] * len(frame.after),
                offset=len(head),
                places=places[part],
                null=null,
                targets=_targets(answers, start, start + room, len(head)) or ((null, null),),
            )


def starts(n_tokens: int, room: int, overlap: int) -> list[int]:
    """Return where windows of `room` tokens begin, each sharing `overlap` with the one before.

    The last ends at the end, so that none is shorter than it must be. starts(10, 6, 2) -> [0, 4]
    """
    step = max(1, room - min(overlap, room // 2))
    found = [0]
    while found[-1] + room < n_tokens:
        found.append(min(found[-1] + step, n_tokens - room))
    return found


def trimmed(text: str, places: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the places of tokens without the spaces around what they say."""
    found = []
    for start, end in places:
        while start < end and text[start].isspace():
            start += 1
        while start < end and text[end - 1].isspace():
            end -= 1
        found.append((start, end))
    return found


def match_levels(question: Sequence[int], context: Sequence[int], most: int) -> list[int]:
    """Return for each context token how long a run of the question's tokens it is in, up to `most`.

    match_levels([5, 6, 7], [9, 6, 7, 9, 5], 2) -> [0, 2, 2, 0, 1]
    """
    if not most or not question or not context:
        return [0] * len(context)
    words = np.asarray(context, np.int64)
    runs = np.zeros((len(question) + 1, len(context) + 1), np.int64)  # ending here, in both
    for i, id in enumerate(question):
        runs[i + 1, 1:] = np.where(words == id, runs[i, :-1] + 1, 0)
    ends = np.minimum(runs[1:, 1:].max(0), most)
    levels = ends.copy()
    for length in range(2, most + 1):
        for at in np.flatnonzero(ends >= length):
            levels[at - length + 1 : at + 1] = np.maximum(levels[at - length + 1 : at + 1], length)
    return [int(level) for level in levels]


def _tokens_of(spans: Spans, places: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield the first and last token that each answer touches."""
    for start, end in spans[:MOST_ANSWERS]:
        inside = [i for i, (a, b) in enumerate(places) if a < end and b > start]
        if inside:
            yield inside[0], inside[-1]


def _targets(
    answers: Sequence[tuple[int, int]], start: int, end: int, offset: int
) -> tuple[tuple[int, int], ...]:
    """Return the positions in a window of those answers that are all in it."""
    moved = ((a - start + offset, b - start + offset) for a, b in answers if a >= start and b < end)
    return tuple(dict.fromkeys(moved))


class WindowBatches:
    """Windows of like length share a batch; targets (B, 2K), segments (B, T) for models that know them."""

    def __init__(
        self,
        windows: Sequence[Window],
        *,
        tokens_per_batch: int,
        seed: int,
        pad_id: int,
        with_segments: bool,
        n_micro_batches: int = 1,
    ):
        self.windows = windows
        self._with_segments = with_segments
        self._bucketed = Bucketed(
            [w.ids for w in windows],
            _padded([w.targets for w in windows]),
            tokens_per_batch=tokens_per_batch,
            seed=seed,
            pad_id=pad_id,
            n_micro_batches=n_micro_batches,
        )
        self.steps_per_epoch = self._bucketed.steps_per_epoch

    def at(self, step: int) -> list[Batch]:
        """Return the micro-batches of a step, counted from 1."""
        return [self._segmented(batch) for batch in self._bucketed.at(step)]

    def in_order(self) -> Iterator[Batch]:
        """Yield every window once, longest first; `ids` says which a batch holds."""
        yield from map(self._segmented, self._bucketed.in_order())

    def _segmented(self, batch: Batch) -> Batch:
        if not self._with_segments:
            return batch
        segments = np.zeros(tuple(batch.tokens.shape), np.int64)
        for line, number in enumerate(batch.ids):
            own = self.windows[number].segments
            segments[line, : len(own)] = own
        return dataclasses.replace(batch, segments=torch.from_numpy(segments))


def _padded(targets: Sequence[tuple[tuple[int, int], ...]]) -> Ints:
    """Return (N, 2K) positions, IGNORE where a window has fewer answers than another."""
    most = max(map(len, targets), default=1)
    table = np.full((len(targets), 2 * most), IGNORE, np.int64)
    for line, answers in zip(table, targets, strict=True):
        line[: 2 * len(answers)] = [place for answer in answers for place in answer]
    return table


def answer_lengths(windows: Sequence[Window]) -> list[int]:
    """Return how many tokens long the answers are that windows hold."""
    return [b - a + 1 for w in windows if w.has_answer for a, b in w.targets]
