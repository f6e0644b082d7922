"""The decoding loop: token ids in, token ids out, one token a row at a time.

decode(model, Prompts([[1, 2], [3]]), SamplingSettings(temperature=0)) -> [[4, 5, 6], [7]]
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from luban.errors import CheckpointError, DataError
from luban.generate.reader import Prompts, Reader, evaluating
from luban.generate.rules import Rule, adjusted
from luban.generate.sampling import choose, generators
from luban.generate.settings import SamplingSettings
from luban.models.model import Model

Finish = Literal["stop", "length"]
"""Why a row ended: an end token or a stop text; or `max_new_tokens`, or the context is full."""


def decode(
    model: Model,
    prompts: Prompts,
    settings: SamplingSettings,
    *,
    rules: Sequence[Rule] = (),
    end_ids: Collection[int] | None = None,
    seeds: Sequence[int] | None = None,
) -> list[list[int]]:
    """Return the ids that the model writes after each prompt, without the end token.

    `rules` change the scores before a token is chosen, such as Suppressed. `end_ids`: None is the
    model's own eos_id. seeds: one for each row instead of settings.seed, so that rows of the same prompt
    differ. settings.stop, which are texts, do nothing here.
    """
    with evaluating(model):
        decoding = Decoding(model, prompts, settings, rules=rules, end_ids=end_ids, seeds=seeds)
        while decoding.rows.going:
            decoding.step()
    return decoding.rows.written


@dataclass(frozen=True, slots=True)
class Token:
    """A token chosen for a row, and why the row ended with it, if it did; an end token has id None."""

    row: int
    id: int | None
    finish: Finish | None = None


class Rows:
    """What each row has written, and which rows are still going."""

    def __init__(self, model: Model, prompts: Prompts, max_new_tokens: int, end_ids: Collection[int] | None):
        check_writer(model)
        own = model.config.eos_id
        self.end_ids = frozenset(() if own is None else (own,)) if end_ids is None else frozenset(end_ids)
        self.rooms = [min(max_new_tokens, _room(model, ids)) for ids in prompts.ids]
        self.written: list[list[int]] = [[] for _ in prompts.ids]
        self.going = list(range(len(prompts)))

    def add(self, row: int, id: int) -> Token:
        """Note the next token of a row."""
        if id in self.end_ids:
            self.end(row)
            return Token(row, None, "stop")
        self.written[row].append(id)
        if len(self.written[row]) < self.rooms[row]:
            return Token(row, id)
        self.end(row)
        return Token(row, id, "length")

    def end(self, row: int) -> None:
        """Write no more in this row."""
        self.going.remove(row)


class Decoding:
    """Rows that grow together, one token a step."""

    def __init__(
        self,
        model: Model,
        prompts: Prompts,
        settings: SamplingSettings,
        *,
        rules: Sequence[Rule] = (),
        end_ids: Collection[int] | None = None,
        seeds: Sequence[int] | None = None,
    ):
        self.rows = Rows(model, prompts, settings.max_new_tokens, end_ids)
        self._prompts, self._settings, self._rules = prompts, settings, rules
        own = [settings.seed] * len(prompts) if seeds is None else seeds
        self._chance = [generators(1, seed)[0] for seed in own]
        self._held = list(self.rows.going)
        """The rows in the reader."""
        self._reader = Reader(model, prompts, max(self.rows.rooms)) if self._held else None
        self._unread: Tensor | None = None

    def step(self) -> list[Token]:
        """Choose a token for every row that is still going."""
        assert self._reader is not None
        if self._unread is not None:
            kept = [i for i, row in enumerate(self._held) if row in self.rows.going]
            self._held = [self._held[i] for i in kept]
            self._reader.keep(kept)
            self._reader.read(self._unread[kept])
        scores = adjusted(
            self._reader.logits.float().cpu(),
            [self._prompts.ids[row] for row in self._held],
            [self.rows.written[row] for row in self._held],
            self._settings,
            self._rules,
        )
        self._unread = choose(scores, self._settings, [self._chance[row] for row in self._held])
        return [self.rows.add(row, id) for row, id in zip(self._held, self._unread.tolist(), strict=True)]


def check_writer(model: Model) -> None:
    """Refuse a model that cannot write."""
    if model.config.head.kind != "tokens" or model.config.trunk.sight != "causal":
        what = "classifies" if model.config.head.kind == "classes" else "encodes"
        raise CheckpointError(
            f"this {model.config.family} model {what} texts and cannot write them",
            fix="name a language model, such as gpt2, llama or recurrent, "
            "trained with `luban train --task pretrain`",
        )


def _room(model: Model, ids: Sequence[int]) -> int:
    context = model.config.max_len
    if not ids:
        raise DataError(
            "a prompt holds no token", fix="begin it with bos_id, or start_id of an encoder-decoder"
        )
    if len(ids) >= context:
        raise DataError(
            f"the prompt is {len(ids)} tokens, and the model's context is {context}, answer included",
            fix=f"shorten it to at most {context - 1} tokens",
        )
    return context - len(ids)
