"""Beam search: keep the likeliest few beginnings, and return the likeliest whole answers.

Candidates, length penalty and the moment to stop are those of the transformers library's beam
search, so that both return the same. Source of the penalty: arXiv:1609.08144 section 7, in the simpler
form (sum of log-probabilities) / n_tokens ** length_penalty.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from luban.errors import ConfigError
from luban.generate.decode import Finish, Rows
from luban.generate.reader import Prompts, Reader, evaluating
from luban.generate.rules import Rule, adjusted
from luban.generate.settings import SamplingSettings
from luban.models.model import Model


@dataclass(frozen=True, kw_only=True, slots=True)
class BeamSettings:
    """How wide to search, and which answers win."""

    n_beams: int = 4
    """Beginnings kept at each step."""
    length_penalty: float = 1.0
    """Power of the length that log-probabilities are divided by: above 0 prefers longer answers."""
    early_stopping: bool = False
    """Whether to stop at n_beams whole answers, even if what is unfinished might still beat them."""
    n_best: int = 1
    """Answers returned for each prompt, best first."""

    def __post_init__(self) -> None:
        if self.n_beams < 1:
            raise ConfigError(
                f"n_beams = {self.n_beams} cannot be", fix="set n_beams to 1 or more, such as 4"
            )
        if not 1 <= self.n_best <= self.n_beams:
            raise ConfigError(
                f"n_best = {self.n_best} answers of n_beams = {self.n_beams} cannot be",
                fix=f"set n_best from 1 to {self.n_beams}, or n_beams higher",
            )


@dataclass(frozen=True, slots=True)
class Beam:
    """An answer: its ids without the end token, its score, and why it ended."""

    ids: list[int]
    score: float
    """Sum of log-probabilities, after penalties, divided by the length's power."""
    finish: Finish


def beam_search(
    model: Model,
    prompts: Prompts,
    settings: SamplingSettings,
    beams: BeamSettings,
    *,
    rules: Sequence[Rule] = (),
    end_ids: Collection[int] | None = None,
) -> list[list[Beam]]:
    """Return the `n_best` answers to each prompt, best first; they may be fewer where rules forbid more.

    Of `settings` count max_new_tokens and the penalties, which apply to log-probabilities here.
    """
    _check_settings(settings)
    rows = Rows(model, prompts, settings.max_new_tokens, end_ids)
    wide = _Width(beams, rows.end_ids)
    searches = [_Search(prompts.ids[row], rows.rooms[row], wide) for row in rows.going]
    going = searches
    with evaluating(model):
        reader = Reader(model, prompts, max(rows.rooms)) if going else None
        while reader and going:
            scores = _scores(reader.logits, going, settings, rules)
            kept, first = [], 0
            for search in going:
                n_read = len(search.ids)
                parents = search.advance(scores[first : first + n_read])
                kept += [] if search.is_done else [first + parent for parent in parents]
                first += n_read
            going = [search for search in going if not search.is_done]
            if going:
                reader.keep(kept)
                reader.read(torch.tensor([ids[-1] for search in going for ids in search.ids]))
    return [search.found[: beams.n_best] for search in searches]


@dataclass(frozen=True, slots=True)
class _Width:
    beams: BeamSettings
    end_ids: frozenset[int]

    @property
    def n_candidates(self) -> int:
        """So many that `n_beams` are left, whichever of them are ends."""
        return self.beams.n_beams * max(2, 1 + len(self.end_ids))


class _Search:
    """The beams of one prompt."""

    def __init__(self, prompt: Sequence[int], room: int, width: _Width):
        self.prompt, self.room, self.width = prompt, room, width
        self.ids: list[list[int]] = [[]]
        self.sums = [0.0]
        self.found: list[Beam] = []
        self.is_done = False

    def advance(self, scores: Tensor) -> list[int]:
        """Take the scores of the next tokens (beams, V); return which beam each new one goes on from."""
        parents: list[int] = []
        totals = (scores + torch.tensor(self.sums)[:, None]).flatten()
        old, length = self.ids, len(self.ids[0]) + 1
        self.ids, self.sums = [], []
        values, places = totals.topk(min(self.width.n_candidates, len(totals)))
        n_beams = self.width.beams.n_beams
        for rank, (total, place) in enumerate(zip(values.tolist(), places.tolist(), strict=True)):
            parent, token = divmod(place, scores.shape[1])
            is_end = token in self.width.end_ids
            if total == -torch.inf:
                break
            if (is_end or length == self.room) and rank < n_beams:
                self._find(
                    old[parent] + [token] * (not is_end), total, length, "stop" if is_end else "length"
                )
            elif not is_end and length < self.room and len(parents) < n_beams:
                parents.append(parent)
                self.ids.append([*old[parent], token])
                self.sums.append(total)
        self.is_done = not parents or self._is_decided(length)
        return parents

    def _find(self, ids: list[int], total: float, length: int, finish: Finish) -> None:
        beams = self.width.beams
        self.found.append(Beam(ids, total / length**beams.length_penalty, finish))
        self.found.sort(key=lambda beam: -beam.score)
        del self.found[beams.n_beams :]

    def _is_decided(self, length: int) -> bool:
        """Whether enough answers are found, and none that is still written is expected to beat them."""
        beams = self.width.beams
        if len(self.found) < beams.n_beams:
            return False
        return beams.early_stopping or self.sums[0] / length**beams.length_penalty <= self.found[-1].score


def _scores(
    logits: Tensor, searches: Sequence[_Search], settings: SamplingSettings, rules: Sequence[Rule]
) -> Tensor:
    """Return log-probabilities after penalties and rules, one row a beam (beams of all searches, V)."""
    return adjusted(
        logits.float().log_softmax(-1).cpu(),
        [search.prompt for search in searches for _ in search.ids],
        [ids for search in searches for ids in search.ids],
        settings,
        rules,
    )


def _check_settings(settings: SamplingSettings) -> None:
    off = replace(settings, top_k=0, top_p=1.0, min_p=0.0, stop=())
    if settings != off or settings.temperature not in (0, 1):
        raise ConfigError(
            "beam search draws nothing, and knows no stop texts",
            fix="leave out temperature, top_k, top_p, min_p and stop, or write without beams",
        )
