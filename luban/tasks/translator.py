"""Texts in, translations out: long texts in sentences, sentences of like lengths together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from luban.errors import CheckpointError
from luban.generate.beam import BeamSettings
from luban.generate.settings import SamplingSettings
from luban.generate.writing import generate, search
from luban.models.model import Model
from luban.tasks.opened import open_tuned
from luban.tasks.predict import longest
from luban.tasks.task import Predictor
from luban.tasks.translate_pieces import joined, pieces
from luban.tokenizer import Tokenizer

AHEAD = 1024
"""Lines read ahead, among which those of like length are sought."""
TOKENS_PER_BATCH = 4096
"""Source tokens times beams that are translated at once."""
ROOM, MORE = 2, 16
"""A translation may have so many times its source's tokens, and so many more."""


@dataclass(frozen=True, slots=True)
class Translation:
    """A text's translation, its mean log-probability a token, and into how many pieces it was cut."""

    text: str
    score: float | None = None
    n_pieces: int = 1


class Translator:
    """A model with its tokenizer, ready to translate any text; `max_len`: tokens of a sentence it reads."""

    def __init__(
        self,
        model: Model,
        tokenizer: Tokenizer,
        beams: BeamSettings | None = None,
        max_len: int | None = None,
    ):
        if model.config.encoder is None or model.config.source != "tokens":
            raise CheckpointError(
                f"this {model.config.family} model reads no source text",
                fix="name an encoder-decoder, such as `luban train --task translate` makes",
            )
        self.model, self.tokenizer = model, tokenizer
        self.beams = beams or BeamSettings(n_beams=5)
        own = model.config.source_max_len or model.config.max_len
        self.max_len = min(own, max_len or own)

    def translate(self, texts: Sequence[str]) -> list[Translation]:
        """Translate texts; the order is kept, and blank ones stay blank."""
        cut = [pieces(text, self._fits) for text in texts]
        found = iter(self._translate([piece for parts in cut for piece in parts]))
        return [_whole(list(islice(found, len(parts)))) for parts in cut]

    def stream(self, lines: Iterable[str]) -> Iterator[tuple[str, Translation]]:
        """Yield each line with its translation; a few hundred are read ahead, however long the file is."""
        rest = iter(lines)
        while chunk := list(islice(rest, AHEAD)):
            yield from zip(chunk, self.translate(chunk), strict=True)

    def _translate(self, texts: Sequence[str]) -> list[Translation]:
        """Translate texts that fit, longest first, as many at once as the budget takes."""
        lengths = [len(ids) for ids in self.tokenizer.encode_batch(texts, special=True)]
        found = [Translation("")] * len(texts)
        order = sorted(range(len(texts)), key=lambda i: -lengths[i])
        while order:
            size = max(1, TOKENS_PER_BATCH // (max(1, lengths[order[0]]) * self.beams.n_beams))
            rows, order = order[:size], order[size:]
            room = min(self.model.config.max_len - 1, ROOM * lengths[rows[0]] + MORE)
            for row, one in zip(rows, self._together([texts[i] for i in rows], room), strict=True):
                found[row] = one
        return found

    def _together(self, texts: Sequence[str], room: int) -> list[Translation]:
        settings = SamplingSettings(max_new_tokens=room, temperature=0)
        if self.beams.n_beams == 1:
            return [Translation(t) for t in generate(self.model, self.tokenizer, texts, settings=settings)]
        found = search(self.model, self.tokenizer, texts, settings, self.beams)
        return [Translation(best[0].text, best[0].score) if best else Translation("") for best in found]

    def _fits(self, text: str) -> bool:
        return len(self.tokenizer.encode(text, special=True)) <= self.max_len


def load_translator(folder: Path, beams: BeamSettings | None = None) -> Translator:
    """Open a folder of `luban train --task translate`, or of a Hugging Face encoder-decoder."""
    model, tokenizer = open_tuned(folder)
    return Translator(model, tokenizer, beams, longest(folder, model.config.max_len))


def open_translator(folder: Path) -> Predictor:
    """Open a translator to ask it for translations."""
    translator = load_translator(folder)

    def predict(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        found = translator.translate([row["source"] for row in rows])
        return [{"translation": (plain := asdict(one)).pop("text"), **plain} for one in found]

    return Predictor(("source",), predict, ("translation",))


def _whole(parts: Sequence[Translation]) -> Translation:
    if len(parts) < 2:
        return parts[0] if parts else Translation("", None, 0)
    scores = [part.score for part in parts if part.score is not None]
    mean = sum(scores) / len(scores) if scores else None
    return Translation(joined([part.text for part in parts]), mean, len(parts))
