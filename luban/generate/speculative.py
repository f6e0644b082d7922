"""Write several tokens a step: guess them cheaply, let the model check all guesses at once.

The text follows the model's own probabilities: with temperature 0 it is the text that one token a
step gives, else a draw from the same distribution. Source: arXiv:2211.17192, algorithm 1.

write(model, tokenizer, prompts, settings, draft=Lookup())
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from luban.errors import ConfigError
from luban.generate.decode import Rows, Token, check_writer
from luban.generate.reader import Prompts, Reader
from luban.generate.rules import Rule, adjusted
from luban.generate.sampling import generators, kept_probabilities
from luban.generate.settings import SamplingSettings
from luban.models.config import RecurrentConfig
from luban.models.model import Model


@dataclass(frozen=True, slots=True, eq=False)
class Guess:
    """Tokens that may come next, and the probabilities (tokens, V) they were drawn from; None: no chance."""

    ids: list[int]
    probabilities: Tensor | None = None


class Guesser(Protocol):
    """Guesses how one row goes on."""

    def guess(self, written: Sequence[int], most: int) -> Guess:
        """Return at most `most` tokens that may follow what was written."""


class Draft(Protocol):
    """A way of guessing, ready for any prompt."""

    @property
    def n_tokens(self) -> int:
        """Most tokens guessed at once."""

    def start(
        self, model: Model, prompt: Prompts, settings: SamplingSettings, rules: Sequence[Rule]
    ) -> Guesser:
        """Return a guesser for one prompt that `model` goes on from."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lookup:
    """Guess that a phrase which came before goes on as it did then, in the prompt or its source.

    It costs nothing, and pays where answers quote: summaries, corrections, code.
    """

    n_tokens: int = 8
    max_ngram: int = 3
    """Longest phrase looked for; shorter ones follow if it is not found."""
    min_ngram: int = 2
    """Shortest: what followed a single token says little."""

    def __post_init__(self) -> None:
        _check_count("n_tokens", self.n_tokens)
        _check_count("min_ngram", self.min_ngram)
        if self.max_ngram < self.min_ngram:
            raise ConfigError(
                f"max_ngram = {self.max_ngram} is below min_ngram = {self.min_ngram}",
                fix=f"set max_ngram to {self.min_ngram} or more",
            )

    def start(
        self, model: Model, prompt: Prompts, settings: SamplingSettings, rules: Sequence[Rule]
    ) -> Guesser:
        """Return a guesser that remembers the prompt, and a source of tokens."""
        is_text = prompt.source is not None and not prompt.source.is_floating_point()
        source = prompt.source[0].tolist() if prompt.source is not None and is_text else []
        return _Quoter([*source, *prompt.ids[0]], range(self.max_ngram, self.min_ngram - 1, -1))


@dataclass(frozen=True, slots=True, eq=False)
class DraftModel:
    """Let a small model with the same vocabulary guess; it is put into evaluation mode."""

    model: Model
    n_tokens: int = 4

    def __post_init__(self) -> None:
        _check_count("n_tokens", self.n_tokens)
        check_writer(self.model)
        _check_cuts(self.model)

    def start(
        self, model: Model, prompt: Prompts, settings: SamplingSettings, rules: Sequence[Rule]
    ) -> Guesser:
        """Return a guesser that has read the prompt."""
        for what in ("vocab_size", "source"):
            mine, asked = getattr(self.model.config, what), getattr(model.config, what)
            if mine != asked:
                raise ConfigError(
                    f"the draft model's {what} is {mine}, the model's is {asked}",
                    fix="draft with a model that was trained with the same tokenizer",
                )
        if (self.model.encoder is None) != (model.encoder is None):
            raise ConfigError(
                "one of model and draft model reads a source, the other does not",
                fix="draft with a model of the same kind",
            )
        return _Writer(self.model, prompt, settings, rules)


class Speculation:
    """One row that grows by up to `n_tokens` + 1 tokens a step; counts how many guesses were right."""

    def __init__(
        self,
        model: Model,
        prompt: Prompts,
        settings: SamplingSettings,
        draft: Draft,
        *,
        rules: Sequence[Rule] = (),
        end_ids: Collection[int] | None = None,
    ):
        if len(prompt) != 1:
            raise ConfigError(
                f"speculative decoding goes on from one prompt at a time, not {len(prompt)}",
                fix="give it Prompts.row(i), one after another",
            )
        _check_cuts(model)
        self.rows = Rows(model, prompt, settings.max_new_tokens, end_ids)
        self.n_guessed, self.n_accepted = 0, 0
        self._prompt, self._settings, self._rules = prompt.ids[0], settings, rules
        (self._chance,) = generators(1, settings.seed)
        self._most = self._n_next = draft.n_tokens
        self._guesser = draft.start(model, prompt, settings, rules)
        self._reader = Reader(model, prompt, self.rows.rooms[0])
        self._next: Tensor | None = self._reader.logits

    def step(self) -> list[Token]:
        """Guess, check, and add what was right and one token more."""
        written = list(self.rows.written[0])
        room = self.rows.rooms[0] - len(written)
        guess = self._guesser.guess(written, min(self._n_next, room - 1))
        scores = self._read(written, guess.ids)
        chosen = self._check(scores, guess)
        self.n_guessed += len(guess.ids)
        self.n_accepted += len(chosen) - 1
        if guess.ids:  # after a bad guess a shorter one, for what is not accepted was read in vain
            self._n_next = min(self._most, 2 * len(chosen) - 1)
        self._reader.cache.cut(len(self._prompt) + len(written) + len(chosen) - 1)
        tokens: list[Token] = []
        for id in chosen:
            tokens.append(self.rows.add(0, id))
            if tokens[-1].finish:
                break
        return tokens

    def _read(self, written: list[int], guessed: list[int]) -> Tensor:
        """Read what is unread; return the scores after what was written, and after each guess (T, V)."""
        unread = written[-1:] * (self._next is None) + guessed
        parts = [] if self._next is None else [self._next]
        if unread:
            parts.append(self._reader.scores(torch.tensor([unread]))[0])
        self._next = None
        contexts = [[*written, *guessed[:i]] for i in range(len(guessed) + 1)]
        prompts = [self._prompt] * len(contexts)
        return adjusted(torch.cat(parts).float().cpu(), prompts, contexts, self._settings, self._rules)

    def _check(self, scores: Tensor, guess: Guess) -> list[int]:
        """Return the guesses that hold, and the model's own token where they end."""
        if self._settings.temperature > 0:
            return accepted(kept_probabilities(scores, self._settings), guess, self._chance)
        own = scores.argmax(-1).tolist()
        n_right = next((i for i, id in enumerate(guess.ids) if id != own[i]), len(guess.ids))
        return own[: n_right + 1]


def accepted(wanted: Tensor, guess: Guess, chance: torch.Generator) -> list[int]:
    """Return the guesses that are kept, and one token more, together drawn from `wanted` (guesses + 1, V).

    A guess that is likelier than wanted is kept with the probability wanted / guessed; instead of one
    that is not kept comes a draw from what is wanted beyond the guess.
    """
    for i, id in enumerate(guess.ids):
        if guess.probabilities is None:
            guessed = torch.zeros_like(wanted[i])
            guessed[id] = 1
        else:
            guessed = guess.probabilities[i]
        if torch.rand((), generator=chance) * guessed[id] >= wanted[i, id]:
            left = (wanted[i] - guessed).clamp(min=0)
            return [*guess.ids[:i], _draw(left if left.any() else wanted[i], chance)]
    return [*guess.ids, _draw(wanted[-1], chance)]


def _draw(weights: Tensor, chance: torch.Generator) -> int:
    return int(torch.multinomial(weights, 1, generator=chance))


class _Quoter:
    def __init__(self, prompt: list[int], lengths: Sequence[int]):
        self._prompt, self._lengths = prompt, lengths

    def guess(self, written: Sequence[int], most: int) -> Guess:
        """Return what followed the latest other place with the same last tokens."""
        ids = [*self._prompt, *written]
        for n in (n for n in self._lengths if n < len(ids)):
            last = ids[-n:]
            for start in range(len(ids) - n - 1, -1, -1):
                if ids[start : start + n] == last:
                    return Guess(ids[start + n : start + n + most])
        return Guess([])


class _Writer:
    def __init__(self, model: Model, prompt: Prompts, settings: SamplingSettings, rules: Sequence[Rule]):
        self._prompt, self._settings, self._rules = prompt.ids[0], settings, rules
        self._room = min(settings.max_new_tokens, model.config.max_len - len(self._prompt))
        self._reader = Reader(model.eval(), prompt, self._room) if self._room > 0 else None
        self._read: list[int] = []
        (self._chance,) = generators(1, settings.seed + 1)

    def guess(self, written: Sequence[int], most: int) -> Guess:
        """Return what this model would write next, after forgetting what the other did not take."""
        most = min(most, self._room - len(written))
        if self._reader is None or most < 1:
            return Guess([])
        self._catch_up(list(written))
        ids: list[int] = []
        probabilities = []
        while len(ids) < most:
            if ids:
                self._reader.read(torch.tensor(ids[-1:]))
                self._read.append(ids[-1])
            scores = self._reader.logits.float().cpu()
            scores = adjusted(scores, [self._prompt], [[*written, *ids]], self._settings, self._rules)
            if self._settings.temperature == 0:
                ids.append(int(scores.argmax()))
                continue
            probabilities.append(kept_probabilities(scores, self._settings))
            ids.append(int(torch.multinomial(probabilities[-1][0], 1, generator=self._chance)))
        return Guess(ids, torch.cat(probabilities) if probabilities else None)

    def _catch_up(self, written: list[int]) -> None:
        assert self._reader is not None
        if not written:
            return
        pairs = zip(self._read, written[:-1], strict=False)
        n_same = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(self._read), len(written) - 1))
        self._reader.cache.cut(len(self._prompt) + n_same)
        self._reader.logits = self._reader.scores(torch.tensor([written[n_same:]]))[:, -1]
        self._read = written


def _check_cuts(model: Model) -> None:
    if isinstance(model.config.trunk, RecurrentConfig):
        raise ConfigError(
            f"a {model.config.family} model cannot take back guesses: its state forgets what was before",
            fix="write without a draft, or use a Transformer",
        )


def _check_count(name: str, value: int) -> None:
    if value < 1:
        raise ConfigError(f"{name} = {value} cannot be", fix=f"set {name} to 1 or more")
