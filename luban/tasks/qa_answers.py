"""Answers from any folder with a spans head: the best span over all windows, cut out verbatim."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from luban.config import resolved
from luban.device import choose_device
from luban.errors import CheckpointError, DataError
from luban.files import read_json, write_json
from luban.models.model import Model
from luban.tasks.opened import open_tuned
from luban.tasks.qa_rows import Asked
from luban.tasks.qa_windows import Encoder, Shape, Window, WindowBatches
from luban.tasks.task import Predictor, Row
from luban.tokenizer import Tokenizer

FILE = "answering.json"
"""How a folder's model is to be asked; without it, as SQuAD's models are."""
TOKENS_PER_BATCH = 8192
WINDOWS_AT_ONCE = 4096
N_BEST = 5
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Asking:
    """How a model is asked: the windows it reads, and which spans count."""

    shape: Shape
    max_answer: int
    """Longest answer in tokens."""
    threshold: float | None = None
    """The best span must beat no answer by so many nats; None: there always is an answer."""


USUAL = Asking(Shape(max_len=384, overlap=128, max_question=64), max_answer=30)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A span of the context, with its log-probability among all spans of its window and no answer."""

    start: int
    end: int
    log_probability: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model says to a question."""

    best: tuple[Candidate, ...]
    """Spans, likeliest first."""
    null: float
    """Log-probability of no answer, in the window where it is the least likely."""

    @property
    def margin(self) -> float:
        """By how many nats the best span beats no answer."""
        return self.best[0].log_probability - self.null if self.best else -np.inf


class Answerer:
    """A model, its tokenizer, and how it is asked."""

    def __init__(self, model: Model, tokenizer: Tokenizer, asking: Asking):
        longest = min(asking.shape.max_len, model.config.max_len)
        shape = dataclasses.replace(asking.shape, max_len=longest)
        self.model, self.tokenizer, self.asking = model, tokenizer, dataclasses.replace(asking, shape=shape)
        self.encoder = Encoder(tokenizer, model.config, shape)

    def answer(self, rows: Sequence[Asked], n_best: int = 1) -> list[Answer]:
        """Answer questions; the order is kept."""
        found: list[Answer] = [Answer((), np.inf)] * len(rows)
        group: list[Window] = []
        for window in self.encoder.windows(rows):
            group.append(window)
            if len(group) == WINDOWS_AT_ONCE:
                self._read(group, found, n_best)
                group = []
        self._read(group, found, n_best)
        return found

    @torch.no_grad()
    def _read(self, windows: Sequence[Window], found: list[Answer], n_best: int) -> None:
        if not windows:
            return
        was_training = self.model.training
        self.model.eval()
        for window, scores in self._scores(windows):
            spans, null = best_spans(scores, window, self.asking.max_answer, n_best)
            before = found[window.row]
            found[window.row] = Answer(_merged([*before.best, *spans], n_best), min(before.null, null))
        self.model.train(was_training)

    def _scores(self, windows: Sequence[Window]) -> Iterable[tuple[Window, Floats]]:
        """Yield each window with the log-probabilities of start and end at its positions (T, 2)."""
        device = next(self.model.parameters()).device
        batches = WindowBatches(
            windows,
            tokens_per_batch=TOKENS_PER_BATCH,
            seed=0,
            pad_id=self.tokenizer.pad_id or 0,
            with_segments=self.encoder.has_segments,
        )
        for batch in batches.in_order():
            moved = batch.to(device)
            logits = self.model(moved.tokens, moved.documents, segments=moved.segments).float()
            logits = logits.masked_fill((moved.documents == 0)[..., None], -1e9)
            scores = logits.log_softmax(1).double().cpu().numpy()
            for line, number in enumerate(batch.ids):
                window = windows[number]
                yield window, scores[line, : len(window.ids)]


def best_spans(scores: Floats, window: Window, max_answer: int, n_best: int) -> tuple[list[Candidate], float]:
    """Return the likeliest spans of a window of at most `max_answer` tokens, and that of no answer.

    scores (T, 2): log-probabilities. Every span of the context is looked at; none begins or ends at a
    token that says nothing, such as a space alone.
    """
    null = float(scores[window.null].sum())
    n = len(window.places)
    if not n:
        return [], null
    context = scores[window.offset : window.offset + n]
    empty = np.array([start >= end for start, end in window.places])
    context = np.where(empty[:, None], -np.inf, context)
    width = min(max_answer, n)
    ends = np.full((n + width - 1,), -np.inf)
    ends[:n] = context[:, 1]
    table = context[:, :1] + np.lib.stride_tricks.sliding_window_view(ends, width)  # (n, width)
    flat = table.ravel()
    few = min(n_best, flat.size)
    top = np.argpartition(-flat, few - 1)[:few] if few < flat.size else np.arange(flat.size)
    found = []
    for at in sorted(top.tolist(), key=lambda i: -flat[i]):
        if np.isfinite(flat[at]):
            first, last = at // width, at // width + at % width
            found.append(Candidate(window.places[first][0], window.places[last][1], float(flat[at])))
    return found, null


def _merged(candidates: Sequence[Candidate], n_best: int) -> tuple[Candidate, ...]:
    """Return the likeliest; a span that several windows hold counts once."""
    kept: dict[tuple[int, int], Candidate] = {}
    for c in sorted(candidates, key=lambda c: -c.log_probability):
        kept.setdefault((c.start, c.end), c)
    return tuple(kept.values())[:n_best]


def text_of(row: Asked, answer: Answer, threshold: float | None) -> str:
    """Return the answer's text, cut out of the context; "" where no answer is likelier."""
    if not answer.best or (threshold is not None and answer.margin < threshold):
        return ""
    return row.context[answer.best[0].start : answer.best[0].end]


def load_answerer(folder: Path) -> Answerer:
    """Open a folder of `luban train --task qa`, or of a Hugging Face model for question answering."""
    model, tokenizer = open_tuned(folder)
    if model.config.head.kind != "spans":
        raise CheckpointError(
            f"{folder} finds no answers in texts: its head scores {model.config.head.kind}",
            fix=f"fine-tune it first: luban train --task qa --model {folder} --data ROWS --out OUT",
        )
    return Answerer(model.to(choose_device()), tokenizer, read_asking(folder))


def read_asking(folder: Path) -> Asking:
    """Return how the folder's model is asked."""
    path = folder / FILE
    if not path.is_file():
        return USUAL
    raw = read_json(path)
    try:
        return Asking(Shape(**raw["shape"]), int(raw["max_answer"]), raw["threshold"])
    except (TypeError, KeyError, ValueError) as e:
        raise CheckpointError(f"{path} does not say how to ask: {e}", fix="copy the folder again") from None


def write_asking(folder: Path, asking: Asking) -> None:
    """Write how the folder's model is asked."""
    write_json(folder / FILE, resolved(asking))


def open_answerer(folder: Path) -> Predictor:
    """Open a folder to ask it rows of {question, context}; `n_best` in a row asks for so many spans."""
    answerer = load_answerer(folder)

    def predict(rows: Sequence[Row]) -> list[dict[str, Any]]:
        wanted = [_n_best(row) for row in rows]
        asked = [_asked(row, number) for number, row in enumerate(rows, 1)]
        answers = answerer.answer(asked, max(wanted, default=1))
        return [
            plain(row, answer, answerer.asking.threshold, n)
            for row, answer, n in zip(asked, answers, wanted, strict=True)
        ]

    about = {
        "max_answer": answerer.asking.max_answer,
        "may_not_answer": answerer.asking.threshold is not None,
    }
    return Predictor(("question", "context"), predict, ("answer", "score"), about)


def plain(row: Asked, answer: Answer, threshold: float | None, n_best: int = 1) -> dict[str, Any]:
    """Return an answer as JSON data: its text, its place in characters, and its probability."""
    text = text_of(row, answer, threshold)
    best = answer.best[0] if text else None
    said: dict[str, Any] = {
        "answer": text,
        "start": best.start if best else None,
        "end": best.end if best else None,
        "score": float(np.exp(best.log_probability if best else min(answer.null, 0.0))),
    }
    if threshold is not None:
        said["is_impossible"] = not text
    if n_best > 1:
        said["n_best"] = [
            {
                "answer": row.context[c.start : c.end],
                "start": c.start,
                "end": c.end,
                "score": float(np.exp(c.log_probability)),
            }
            for c in answer.best[:n_best]
        ]
    return said


def _asked(row: Row, number: int) -> Asked:
    for name in ("question", "context"):
        value = row.get(name)
        if not isinstance(value, str) or not value.strip():
            what = (
                "is missing"
                if value is None
                else "is empty"
                if value == ""
                else f"= {value!r:.60} is no text"
            )
            raise DataError(f"row {number}: {name} {what}", fix="give a question and a context as text")
    return Asked(str(number), row["question"], row["context"])


def _n_best(row: Row) -> int:
    value = row.get("n_best")
    if value is None:
        return 1
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 100:
        raise DataError(f"n_best = {value!r} is no number of answers", fix="give a number from 1 to 100")
    return value
