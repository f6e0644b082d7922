"""Complete code: what stands before and after the place → what is missing there.

A model with marks of infilling reads both sides (arXiv:2207.14255); one without reads what stands before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from luban.device import choose_device
from luban.errors import CheckpointError, DataError
from luban.generate.reader import Prompts
from luban.generate.settings import SamplingSettings
from luban.generate.writing import Written, write_after
from luban.models.model import Model
from luban.objectives.fill_in_the_middle import infill_prompt
from luban.tasks.infill import find_marks, infill_of
from luban.tasks.opened import open_tuned
from luban.tasks.task import Predictor
from luban.tokenizer import Tokenizer

Order = Literal["psm", "spm"]
GREEDY = SamplingSettings(temperature=0.0, max_new_tokens=64)
ROWS_AT_ONCE = 8
SUFFIX_SHARE = 0.25
"""Of the context, where both sides are longer than it: what stands before tells more."""


@dataclass(frozen=True, slots=True)
class Completer:
    """A model that completes code."""

    model: Model
    tokenizer: Tokenizer
    order: Order | None
    """How it reads both sides; None for a model that goes on with what stands before, and no more."""

    def complete(self, places: Sequence[tuple[str, str]], settings: SamplingSettings = GREEDY) -> list[str]:
        """Return what is missing between each prefix and suffix."""
        texts = [""] * len(places)
        for start in range(0, len(places), ROWS_AT_ONCE):
            for piece in self.write(places[start : start + ROWS_AT_ONCE], settings):
                texts[start + piece.row] += piece.text
        return texts

    def write(self, places: Sequence[tuple[str, str]], settings: SamplingSettings) -> Iterator[Written]:
        """Yield the completions as they grow."""
        room = self.model.config.max_len - 4
        settings = replace(settings, max_new_tokens=max(1, min(settings.max_new_tokens, room // 2)))
        ids = [self.ids(prefix, suffix, room - settings.max_new_tokens) for prefix, suffix in places]
        yield from write_after(self.model, self.tokenizer, Prompts(ids), settings)

    def ids(self, prefix: str, suffix: str, room: int) -> list[int]:
        """Return what the model reads, at most about `room` tokens of text, those nearest to the place."""
        before = self.tokenizer.encode(prefix)
        if self.order is None or not suffix:
            begin = [i for i in (self.tokenizer.bos_id, self.tokenizer.eos_id) if i is not None][:1]
            return before[-room:] or begin
        after = self.tokenizer.encode(suffix)
        n_after = min(len(after), max(int(room * SUFFIX_SHARE), room - len(before)))
        n_before = room - n_after
        infill = infill_of(self.tokenizer, end_id=0)
        return infill_prompt(infill, before[-n_before:] if n_before else [], after[:n_after], self.order)


def load_completer(folder: Path, order: Order = "psm") -> Completer:
    """Open a language model to complete code."""
    model, tokenizer = open_tuned(folder)
    config = model.config
    if config.head.kind != "tokens" or config.trunk.sight != "causal" or config.encoder is not None:
        raise CheckpointError(f"{folder} writes no texts", fix="name the folder of a language model")
    has_marks = find_marks(tokenizer) is not None
    if not has_marks:
        tokenizer.check_fits(config.vocab_size, folder)
    return Completer(model.to(choose_device()), tokenizer, order if has_marks else None)


def open_completer(folder: Path) -> Predictor:
    """Open a model folder to complete rows: `prefix`, and `suffix` where there is one."""
    return predictor_of(load_completer(folder))


def predictor_of(completer: Completer) -> Predictor:
    """Let a completer that is open answer rows."""

    def predict(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        places = [(_text(row, "prefix", n), _text(row, "suffix", n)) for n, row in enumerate(rows, 1)]
        return [{"completion": text} for text in completer.complete(places)]

    return Predictor(
        reads=("prefix",),
        predict=predict,
        shows=("completion",),
        about={"infill": completer.order is not None},
    )


def _text(row: Mapping[str, Any], name: str, number: int) -> str:
    value = row.get(name) or ""
    if not isinstance(value, str):
        raise DataError(f"row {number}: {name} = {value!r} is no text", fix="give the code as text")
    return value
