"""Choose among given texts: by their exact probabilities, or by writing what can only be one of them.

choose_among(model, tokenizer, "The sky is", [" blue", " green"]).best -> " blue"
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from luban.errors import DataError
from luban.generate.decode import check_writer, decode
from luban.generate.reader import Prompts, Reader, evaluating
from luban.generate.settings import SamplingSettings
from luban.generate.writing import end_ids, read_prompts
from luban.models.model import Model
from luban.tokenizer import Tokenizer

Per = Literal["text", "token", "character"]
"""Whether a choice counts as a whole, or by the mean of its tokens or characters."""


@dataclass(frozen=True, slots=True)
class Choices:
    """What each choice scored; all tuples are in the order of the choices."""

    texts: tuple[str, ...]
    log_probabilities: tuple[float, ...]
    """Of the whole text, given what all choices begin with alike."""
    probabilities: tuple[float, ...]
    """Among the choices alone, after normalising by length: they add up to 1."""

    @property
    def best(self) -> str:
        """The likeliest choice."""
        return self.texts[self.probabilities.index(max(self.probabilities))]


def choose_among(
    model: Model,
    tokenizer: Tokenizer,
    prompt: str,
    choices: Sequence[str],
    *,
    per: Per = "text",
    with_end: bool = False,
) -> Choices:
    """Return how likely the model goes on from `prompt` with each of `choices`.

    Prompt and choice are encoded as one text: where a token reaches across their border, it counts
    for the choice. `with_end` adds that the text ends there, which tells "10" from the beginning of
    "100". For a model with an encoder the prompt is the source, and a choice is the whole answer.
    """
    check_writer(model)
    ends = end_ids(model, tokenizer)[:1] if with_end else []
    common, rests = encode_choices(model, tokenizer, prompt, choices)
    sums = _score(model, common, [rest + ends for rest in rests])
    lengths = {
        "text": [1] * len(choices),
        "token": [len(rest) + len(ends) for rest in rests],
        "character": [len(choice) for choice in choices],
    }[per]
    shares = (sums / torch.tensor(lengths)).softmax(0)
    return Choices(tuple(choices), tuple(sums.tolist()), tuple(shares.tolist()))


def write_choice(
    model: Model,
    tokenizer: Tokenizer,
    prompt: str,
    choices: Sequence[str],
    settings: SamplingSettings | None = None,
) -> str:
    """Let the model write after `prompt`, each token one that goes on with one of `choices`.

    It costs one text, however many choices there are; but a first token that many choices share may
    win although none of them is the likeliest: `choose_among` is exact. Greedy without `settings`.
    """
    check_writer(model)
    common, rests = encode_choices(model, tokenizer, prompt, choices)
    rule = OneOf(rests, end_ids(model, tokenizer))
    settings = replace(settings or SamplingSettings(temperature=0), max_new_tokens=rule.longest + 1)
    (written,) = decode(model, common, settings, rules=[rule], end_ids=[rule.end])
    return choices[rests.index(written)]


class OneOf:
    """A rule: a row writes one of these and then ends."""

    def __init__(self, choices: Sequence[Sequence[int]], ends: Sequence[int]):
        self.longest = max(map(len, choices))
        used = {id for ids in choices for id in ids}
        # Without an end token any other will do: where a choice is complete, it is all that is allowed.
        self.end = next(iter(ends), next(id for id in range(len(used) + 1) if id not in used))
        self._next: dict[tuple[int, ...], set[int]] = {}
        for ids in choices:
            for i, id in enumerate([*ids, self.end]):
                self._next.setdefault(tuple(ids[:i]), set()).add(id)
        if not ends and any(len(self._next[tuple(ids)]) > 1 for ids in choices):
            raise DataError(
                "one choice is the beginning of another, and no end token tells them apart",
                fix="let every choice end with the same sign, or use choose_among",
            )

    def __call__(self, scores: Tensor, written: Sequence[Sequence[int]]) -> Tensor:
        """Forbid in (B, V) what goes on with none."""
        left = torch.full_like(scores, -torch.inf)
        for row, ids in enumerate(written):
            allowed = sorted(self._next[tuple(ids)])
            left[row, allowed] = scores[row, allowed]
        return left


def encode_choices(
    model: Model, tokenizer: Tokenizer, prompt: str, choices: Sequence[str]
) -> tuple[Prompts, list[list[int]]]:
    """Return what all rows begin with, and the ids with which each choice goes on."""
    if not choices or not all(choices) or len(set(choices)) < len(choices):
        raise DataError(
            f"choices = {list(choices)} are none, or one is empty or named twice",
            fix="give texts that differ",
        )
    common, rests = _encode(model, tokenizer, prompt, choices)
    if not all(rests) or len(set(map(tuple, rests))) < len(rests):
        raise DataError(
            f"the tokenizer spells two of choices = {list(choices)} alike, or one not at all",
            fix="give texts that differ in more than spaces or rare signs",
        )
    n_tokens = len(common.ids[0]) + max(map(len, rests))
    if n_tokens >= model.config.max_len:
        raise DataError(
            f"prompt and longest choice are {n_tokens} tokens, and the model's context is "
            f"{model.config.max_len}, an end token included",
            fix="shorten them",
        )
    return common, rests


def _encode(
    model: Model, tokenizer: Tokenizer, prompt: str, choices: Sequence[str]
) -> tuple[Prompts, list[list[int]]]:
    if model.encoder is not None:
        return read_prompts(model, tokenizer, [prompt]), tokenizer.encode_batch(choices)
    texts = tokenizer.encode_batch([prompt + choice for choice in choices])
    n_common = _n_common([tokenizer.encode(prompt), *texts])
    if n_common:
        return Prompts([texts[0][:n_common]]), [ids[n_common:] for ids in texts]
    return read_prompts(model, tokenizer, [""]), texts  # from a start token


def _n_common(rows: Sequence[Sequence[int]]) -> int:
    shortest = min(map(len, rows))
    return next((i for i in range(shortest) if len({row[i] for row in rows}) > 1), shortest)


def _score(model: Model, common: Prompts, rests: list[list[int]]) -> Tensor:
    """Return the log-probability of each rest after what is common (choices,)."""
    longest = max(map(len, rests))
    tokens = torch.zeros(len(rests), longest, dtype=torch.long)
    documents = torch.zeros_like(tokens)
    for row, ids in enumerate(rests):
        tokens[row, : len(ids)], documents[row, : len(ids)] = torch.tensor(ids), 1
    with evaluating(model):
        reader = Reader(model, common, longest)
        first = reader.logits[0].float().log_softmax(-1).cpu()
        sums = first[tokens[:, 0]]
        if longest == 1:
            return sums
        reader.keep([0] * len(rests))
        hidden = reader.hidden(tokens[:, :-1], documents[:, :-1])
        for row, ids in enumerate(rests):  # one by one: scores are as wide as the vocabulary
            after = reader.score(hidden[row : row + 1, : len(ids) - 1])[0].float().log_softmax(-1).cpu()
            sums[row] += after.gather(1, tokens[row, 1 : len(ids), None]).sum()
    return sums
